"""`penstock limits`, `usage`, `audit` and `webhooks`: an operator's terminal, over the native contract."""

import json

import pytest
from click.testing import CliRunner

from app.cli import cli
from app.cli.phrases import for_terminal
from app.errors import NotFound, StackRefused
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
    assert "\nada (test) " in penstock("usage", "--by", "user")
    assert lines(penstock("usage", "--since", "2020-01-01", "--until", "2020-02-01"))[1][:2] == ["total", "0"]
    with pytest.raises(StackRefused) as refused:
        penstock("usage", "--since", "yesterday")
    assert for_terminal(str(refused.value)).startswith("--since: give a date or a time")


def _change_much(door):
    """With a key, and with commands on the server; returns the key, the webhook and both new secrets."""
    hook = {**WEBHOOK, "url": f"{WEBHOOK['url']}/whoever-has-this-may-post"}
    named = {"Idempotency-Key": "sent-twice"}
    for _ in range(2):
        made = door.post("/api/v1/keys", json={"name": "nightly"}, headers=named).get_json()
        endpoint = door.post("/api/v1/webhooks", json=hook, headers=named).get_json()
    at = f"/api/v1/webhooks/{endpoint['id']}"
    for url in (hook["url"], f"{hook['url']}-too"):
        door.call("PATCH", at, json={"url": url})
    rotated = [door.post(f"{path}/rotate", json={}).get_json() for path in (at, "/api/v1/webhook-secret")]
    door.call("DELETE", at)
    for _ in range(2):
        penstock("limits", "set", "simulated", "--requests-per-minute", "600")
        door.call("DELETE", f"/api/v1/keys/{made['id']}")
    penstock("keys", "create", "--tenant", "beta", "--name", "cron")
    for cap in ("2.50", "2.50", "none"):
        penstock("tenants", "set", "beta", "--daily-cap", cap, "--records-per-hour", "5")
    return made, endpoint, rotated


def test_the_audit_log_tells_who_changed_what_and_no_secret(door):
    """By a key or by a command on the server, in the log of the tenant that it was done to; newest first."""
    # When an operator does what is to be found there, some of it twice
    made, endpoint, rotated = _change_much(door)

    # Then each change is there once, with who made it
    listed = penstock("audit")
    heading, *newest = (line.split() for line in listed.splitlines())
    assert heading[-2:] == ["id", "details"]
    prefix = door.key.rpartition("_")[0]
    assert [(event, by) for _, event, by, *_ in newest] == [
        (event, prefix)
        for event in (
            "KEY_REVOKED", "LIMITS_CHANGED", "WEBHOOK_DELETED", "WEBHOOK_SECRET_ROTATED",
            "WEBHOOK_SECRET_ROTATED", "WEBHOOK_CHANGED", "WEBHOOK_CREATED", "KEY_CREATED",
        )
    ]  # fmt: skip
    assert "requests per minute none -> 600" in listed
    assert f"webhook      {endpoint['id']} " in listed
    kept = json.loads(penstock("audit", "--tenant", "beta", "--json"))
    assert [(event["details"]["by"]["command"], event["details"].get("changed")) for event in kept] == [
        ("penstock tenants set", {"daily_cap": {"from": "2.50", "to": None}}),
        (
            "penstock tenants set",
            {"daily_cap": {"from": None, "to": "2.50"}, "records_per_hour": {"from": None, "to": 5}},
        ),
        ("penstock keys create", None),
    ]
    assert "daily cap 2.50 -> none" in penstock("audit", "--tenant", "beta", "--limit", "1")

    # And what must stay secret is not
    everything = penstock("audit", "--json")
    secrets = [made["key"], endpoint["secret"], "whoever-has", *(each["secret"] for each in rotated)]
    assert not [secret for secret in secrets if secret in everything]

    # Nor can a name that somebody chose command the terminal that lists it
    door.post("/api/v1/webhooks", json={**WEBHOOK, "name": "\x1b[2J\nanother row"})
    assert "name �[2J�another row; " in penstock("audit", "--limit", "1")

    # And a type is found
    [event] = json.loads(penstock("audit", "--type", "LIMITS_CHANGED", "--json"))
    assert (event["resource_type"], event["resource_id"]) == ("limit_group", "simulated")
    for command in (["audit"], ["keys", "list"]):
        with pytest.raises(NotFound, match="there is no tenant 'nobody'"):
            penstock(*command, "--tenant", "nobody")


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
