"""`penstock limits`, `usage`, `audit` and `webhooks`: an operator's terminal, over the native contract."""

import json

import pytest
from click.testing import CliRunner

from app.cli import cli
from app.core.accounts import audit
from app.errors import StackRefused
from models.session import in_transaction
from tests.support.front_door import Door, Worker
from tests.support.furnished_tenant import WEBHOOK

pytestmark = pytest.mark.one_database
WIDTH = 80


@pytest.fixture
def door(environment, monkeypatch) -> Door:
    door = Door(scopes=("admin", "operator"))
    monkeypatch.setenv("PENSTOCK_API_KEY", door.key)
    return door


def penstock(*arguments: str) -> str:
    ran = CliRunner().invoke(cli, arguments)
    if ran.exception is not None:
        raise ran.exception
    return ran.stdout


def lines(said: str) -> list[list[str]]:
    """The cells of each line; none is cut off, and none is so wide that a terminal of 80 folds it."""
    assert max(map(len, said.splitlines())) <= WIDTH, said
    return [line.split() for line in said.splitlines()]


def test_limits_are_listed_set_and_returned_to_what_is_configured(door):
    door.submit(3)

    penstock("limits", "set", "simulated", "--requests-per-minute", "600", "--max-concurrent-calls", "20")
    heading, simulated = lines(penstock("limits", "list"))
    assert heading[:2] == ["group", "requests"]
    assert simulated[:5] == ["simulated", "0/600", "0/-", "0/-", "0/20"]
    [found] = json.loads(penstock("limits", "list", "--json"))
    assert found["allowed"]["requests_per_minute"] == {"figure": 600, "source": "set"}

    penstock("limits", "set", "simulated", "--requests-per-minute", "none")
    [found] = json.loads(penstock("limits", "list", "--json"))
    assert found["allowed"]["requests_per_minute"]["source"] != "set"
    assert found["allowed"]["max_concurrent_calls"]["figure"] == 20


def test_what_cannot_be_set_is_refused_as_the_contract_does(door, monkeypatch):
    with pytest.raises(StackRefused, match="there is no limit group 'nobody'"):
        penstock("limits", "set", "nobody", "--requests-per-minute", "5")
    assert CliRunner().invoke(cli, ["limits", "set", "simulated"]).exit_code == 2
    monkeypatch.setenv("PENSTOCK_API_KEY", Door(tenant="other").key)
    with pytest.raises(StackRefused, match="operator"):
        penstock("limits", "set", "simulated", "--requests-per-minute", "5")


def test_usage_is_summed_by_what_was_asked_for(door):
    job = door.submit(3)
    Worker().end(job, [0, 1])

    heading, *groups, total = lines(penstock("usage", "--by", "day"))
    assert heading == ["day", "calls", "input", "cached", "output", "cost", "unconfirmed"]
    assert [group[1] for group in groups] == ["2"]
    assert total[:2] == ["total", "2"]
    found = json.loads(penstock("usage", "--by", "job", "--since", "2026-01-01", "--json"))
    assert [(group["job"], group["calls"]["answered"]) for group in found["data"]] == [(job["id"], 2)]
    assert lines(penstock("usage", "--since", "2020-01-01", "--until", "2020-02-01"))[1][:2] == ["total", "0"]
    with pytest.raises(StackRefused, match="give a date or a time"):
        penstock("usage", "--since", "yesterday")


def test_the_audit_log_is_listed_newest_first(door):
    for name in ("first", "second"):
        details = {name: {"by": "ada"}}
        in_transaction(
            lambda s, d=details: audit.write(s, door.tenant_id, "DOCUMENT_INGESTED", "document", d)
        )

    heading, newest = lines(penstock("audit", "--limit", "1"))
    assert heading[-2:] == ["resource", "id"]
    assert newest[-3:] == ["DOCUMENT_INGESTED", "document", "second"]
    kept = json.loads(penstock("audit", "--json"))
    assert [(event["resource_id"], event["details"]) for event in kept] == [
        ("second", {"by": "ada"}),
        ("first", {"by": "ada"}),
    ]
    assert json.loads(penstock("audit", "--type", "NOTHING_OF_IT", "--json")) == []


def test_webhooks_and_their_deliveries_are_listed_and_sent_again(door):
    endpoint = door.post("/api/v1/webhooks", json=WEBHOOK).get_json()["id"]
    job = door.submit(1)
    door.post(f"/api/v1/jobs/{job['id']}/cancel")

    assert endpoint in penstock("webhooks", "list")
    [delivery] = json.loads(penstock("webhooks", "deliveries", "--json"))
    listed = penstock("webhooks", "deliveries", "--status", "pending", "--endpoint", endpoint)
    assert delivery["id"] in listed
    assert "job.cancelled" in listed
    assert len(penstock("webhooks", "deliveries", "--status", "failed").splitlines()) == 1
    assert f"delivery {delivery['id']} is sent again to https://" in penstock(
        "webhooks", "resend", delivery["id"]
    )
    with pytest.raises(StackRefused, match="there is no webhook delivery"):
        penstock("webhooks", "resend", job["id"])
