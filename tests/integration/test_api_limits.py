"""Limits over REST: what holds and why, what is used, who waits; and setting them."""

import datetime as dt
import uuid

import pytest
from sqlalchemy import select

from app.core.limits import allowances
from app.core.limits.limiter import CallTerms, limiter
from app.core.limits.obstacle import Obstacle
from app.providers.client import RateLimits
from models import Job
from models.session import in_transaction, reading
from tests.support.front_door import Door

pytestmark = pytest.mark.one_database

LIMITS = "/api/v1/limits"
GROUP = "anthropic:haiku-4.5"
EVERY_SCOPE_OF_A_TENANT = ["admin", "jobs:read", "jobs:write", "keys", "limits", "audit"]


@pytest.fixture
def door(environment):
    return Door(scopes=["admin", "operator"])


def learn(**figures: int) -> None:
    in_transaction(lambda session: allowances.learn(session, GROUP, RateLimits(**figures)))


def group(door, name=GROUP):
    return {found["group"]: found for found in door.get(LIMITS).get_json()["data"]}[name]


def test_a_group_says_what_holds_and_who_said_so(door, environment):
    # Given nothing but a job: what every account may do is assumed
    door.submit(2)
    assert group(door, "simulated")["allowed"]["requests_per_minute"] == {"figure": None, "source": None}

    # When the provider tells its limits, then they hold
    learn(requests=1000, input_tokens=2_000_000)
    allowed = group(door)["allowed"]
    assert allowed["requests_per_minute"] == {"figure": 1000, "source": "learned"}
    assert allowed["input_tokens_per_minute"] == {"figure": 2_000_000, "source": "learned"}
    assert allowed["output_tokens_per_minute"] == {"figure": None, "source": None}


def test_what_is_set_holds_unless_the_provider_allows_less(door):
    put = door.call("PUT", f"{LIMITS}/{GROUP}", json={"requests_per_minute": 300, "max_concurrent_calls": 7})
    assert put.status_code == 200, put.text
    assert put.get_json()["allowed"]["requests_per_minute"] == {"figure": 300, "source": "set"}
    assert put.get_json()["allowed"]["max_concurrent_calls"] == {"figure": 7, "source": "set"}

    learn(requests=100)
    assert group(door)["allowed"]["requests_per_minute"] == {"figure": 100, "source": "learned"}
    learn(requests=1000)
    assert group(door)["allowed"]["requests_per_minute"] == {"figure": 300, "source": "set"}

    # When the word is taken back, then what was learned holds
    door.call("PUT", f"{LIMITS}/{GROUP}", json={"requests_per_minute": None})
    assert group(door)["allowed"]["requests_per_minute"] == {"figure": 1000, "source": "learned"}
    assert group(door)["allowed"]["max_concurrent_calls"]["figure"] == 7


def test_a_group_says_whether_what_fits_leaves_at_once_or_all_is_paced(door):
    learn(requests=1000)
    assert (group(door)["starts"], group(door)["paced_until"]) == ("burst", None)

    # When the provider has refused a call that left at once
    in_transaction(lambda session: allowances.pace(session, GROUP))

    # Then all are paced for an hour
    seen = group(door)
    left = dt.datetime.fromisoformat(seen["paced_until"]) - dt.datetime.now(dt.UTC)
    assert seen["starts"] == "paced"
    assert dt.timedelta(minutes=59) < left < dt.timedelta(minutes=61)


def test_an_unknown_group_and_a_senseless_figure_are_refused(door):
    unknown = door.call("PUT", f"{LIMITS}/anthropic:sonnet-99", json={"requests_per_minute": 3})
    assert unknown.status_code == 404
    assert "config/limits.toml" in unknown.get_json()["error"]["message"]
    assert door.call("PUT", f"{LIMITS}/{GROUP}", json={"requests_per_minute": 0}).status_code == 422
    assert door.call("PUT", f"{LIMITS}/{GROUP}", json={"rpm": 3}).status_code == 422


@pytest.mark.parametrize("scope", EVERY_SCOPE_OF_A_TENANT)
def test_no_scope_of_a_tenant_sets_the_limits_of_all(door, scope):
    tenant = door.other(scopes=[scope])

    refused = tenant.call("PUT", f"{LIMITS}/simulated", json={"input_tokens_per_minute": 1})

    assert refused.status_code == 403
    assert "'operator'" in refused.get_json()["error"]["message"]
    assert tenant.get(LIMITS).status_code == (200 if scope in ("admin", "jobs:read", "limits") else 403)
    assert door.other(scopes=["operator"]).call("PUT", f"{LIMITS}/simulated", json={}).status_code == 200


def test_a_tenant_sees_the_limits_of_its_own_jobs_and_not_what_others_do(door):
    # Given two tenants of one group, one of whom waits for it, and a group that only the other uses
    tenant, other = door.other(), door.other("third")
    tenant.submit(1)
    waiting = other.submit(1)
    learn(requests=1000)
    of = RateLimits(requests=10)
    assert limiter().take(CallTerms("simulated", 99, of), 1, 1).count == 1
    [job] = _ids([waiting["id"]])
    assert limiter().take(CallTerms("simulated", job, of, tenant_id=job), 1, 1).count == 0

    # Then it learns what its job may do, and neither how much others do nor what they wait for
    [seen] = tenant.get(LIMITS).get_json()["data"]
    assert seen["group"] == "simulated"
    assert seen["allowed"]["requests_per_minute"] == {"figure": None, "source": None}
    assert (seen["used"], seen["waiting"], seen["waiting_of_others"], seen["limited_by"]) == (
        None,
        [],
        None,
        None,
    )
    assert group(door, "simulated")["waiting_of_others"] == 1
    assert group(door, "simulated")["limited_by"] is not None
    assert group(door)["allowed"]["requests_per_minute"]["figure"] == 1000


def test_use_holds_and_waiting_jobs_are_shown_but_no_names_of_other_tenants(door):
    # Given a group of one call at a time, taken by one job while two tenants' jobs wait
    mine, others = door.submit(2, name="mine"), door.other().submit(2, name="theirs")
    of = RateLimits(requests=10)
    ids = _ids([mine["id"], others["id"]])
    assert limiter().take(CallTerms("simulated", 99, of), 1, 1).count == 1
    for job in ids:
        assert limiter().take(CallTerms("simulated", job, of, tenant_id=job), 1, 1).count == 0
    limiter().hold("simulated", "provider: overloaded", seconds=30)

    # Then each caller sees its own
    seen = group(door, "simulated")
    assert seen["used"]["requests"] == 1
    assert [job["name"] for job in seen["waiting"]] == ["mine"]
    assert seen["waiting_of_others"] == 1
    assert seen["limited_by"] == "provider: overloaded"
    assert seen["held_until"] is not None


def test_a_held_group_says_in_a_sentence_what_was_said_and_which_variable_to_mend(door):
    # Given a group that is free, and one whose address is wrong
    learn(requests=100)
    door.submit(2)
    said = Obstacle(
        "http://x is not the provider's API: correct ANTHROPIC_BASE_URL", "http://x", "ANTHROPIC_BASE_URL"
    )
    reason = "configuration: wrong_address"
    limiter().hold("simulated", reason, seconds=30, detail=said.to_json())

    # Then its readers are told so, and when it is tried again
    seen = group(door, "simulated")
    assert seen["limited_by"] == reason
    detail = seen["limited_by_detail"]
    assert (detail["message"], detail["address"], detail["variable"]) == (
        said.message,
        "http://x",
        said.variable,
    )
    assert detail["next_try_at"] is not None

    # And of the other nothing is
    assert group(door)["limited_by_detail"] is None


def _ids(uids):
    with reading() as session:
        return list(session.scalars(select(Job.id).where(Job.uid.in_([uuid.UUID(uid) for uid in uids]))))
