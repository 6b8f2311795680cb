"""Usage over REST: the ledger's calls by model, day and job; rows without workers."""

import datetime as dt
from copy import copy
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from app.core.money import ledger, pricing
from models import Attempt, Job
from models.session import in_transaction, reading
from tests.support.front_door import Door, Worker, number_of

pytestmark = pytest.mark.one_database

USAGE = "/api/v1/usage"
NOON = dt.datetime(2026, 11, 10, 12, tzinfo=dt.UTC)
NOVEMBER = {"from": "2026-11-01", "to": "2026-12-01"}
UNASKED = {name: {"records": 0, "cost": "0.00"} for name in ("dedupe", "reuse")}
NOTHING = {
    "calls": {"answered": 0, "unconfirmed": 0},
    "usage": {
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_read_tokens": 0,
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
    },
    "server_tool_uses": {},
    "cost": "0.00",
    "unpriced": 0,
    "cost_unconfirmed": "0.00",
    "saved": UNASKED | {"prompt_cache": {"tokens": 0, "cost": "0.00"}},
}

_numbers = count(1_000)  # behind the records that a job of these tests has


@pytest.fixture
def door(environment):
    return Door()


@pytest.fixture
def job(door):
    return door.submit(1)


def call(job, *, ended_at=NOON, outcome=ledger.ANSWERED, model="claude-haiku-4-5", cost=10**12, **more):
    """A call in the ledger."""
    number = number_of(job)
    with reading() as session:
        tenant_id = session.scalars(select(Job.tenant_id).where(Job.id == number)).one()
    values = {
        "job_id": number,
        "idx": next(_numbers),
        "attempt": 1,
        "tenant_id": tenant_id,
        "outcome": outcome,
        "model": model,
        "cost": cost,
        "ended_at": ended_at,
        **more,
    }
    in_transaction(lambda session: session.execute(insert(Attempt).values(values)) and None)


def usage(door, **query):
    response = door.get(USAGE, query_string={**NOVEMBER, **query})
    assert response.status_code == 200, response.text
    return response.get_json()


def test_usage_of_nothing_is_nothing(door):
    found = usage(door)

    assert found["data"] == []
    assert found["total"] == NOTHING
    assert found["next_cursor"] is None


def test_calls_are_summed_up_by_model(door, job):
    # Given calls of two models, one without an answer, one that never left
    for tools in (None, {"web_search_requests": 2}, {"web_search_requests": 1, "web_fetch_requests": 4}):
        call(
            job,
            input_tokens=1,
            output_tokens=2,
            cache_read_tokens=3,
            cache_write_5m_tokens=4,
            cache_write_1h_tokens=5,
            server_tool_uses=tools,
            cache_saved=10**11,
        )
    call(job, outcome=ledger.UNCONFIRMED, cost=5)
    call(job, outcome=ledger.UNSENT, cost=0, model="never-sent")
    call(job, model="claude-opus-5-5", cost=1)

    # Then each kind of token, tool and money stands by itself
    found = usage(door, group_by="model")
    haiku, opus = found["data"]
    assert haiku == {
        "model": "claude-haiku-4-5",
        "calls": {"answered": 3, "unconfirmed": 1},
        "usage": {
            "input_tokens": 3,
            "output_tokens": 6,
            "cache_read_tokens": 9,
            "cache_write_5m_tokens": 12,
            "cache_write_1h_tokens": 15,
        },
        "server_tool_uses": {"web_fetch_requests": 4, "web_search_requests": 3},
        "cost": "3.00",
        "unpriced": 0,
        "saved": {"prompt_cache": {"tokens": 9, "cost": "0.30"}},
        "cost_unconfirmed": "0.000000000005",
    }
    assert opus["model"] == "claude-opus-5-5"
    assert found["total"] == {
        **{name: value for name, value in haiku.items() if name != "model"},
        "calls": {"answered": 4, "unconfirmed": 1},
        "cost": "3.000000000001",
        "saved": UNASKED | haiku["saved"],
    }


def test_what_has_no_price_costs_null_and_never_nothing(door, job):
    call(job, model="claude-of-tomorrow", cost=None)
    call(job, model="claude-of-tomorrow", cost=7)
    call(job, model="claude-of-the-day-after", cost=None, outcome=ledger.UNCONFIRMED)
    call(job, cost=9)

    found = usage(door)

    money = ("cost", "unpriced", "cost_unconfirmed")
    assert {group["model"]: tuple(group[name] for name in money) for group in found["data"]} == {
        "claude-of-tomorrow": (None, 1, "0.00"),
        "claude-of-the-day-after": ("0.00", 0, None),
        "claude-haiku-4-5": ("0.000000000009", 0, "0.00"),
    }
    assert tuple(found["total"][name] for name in money) == (None, 1, None)


def test_days_are_those_of_utc(door, job):
    for ended_at in (
        dt.datetime(2026, 11, 9, 23, 59, 59, 999_999, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 10, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 10, 23, 0, tzinfo=dt.timezone(dt.timedelta(hours=-2))),
    ):
        call(job, ended_at=ended_at)

    days = usage(door, group_by="day")["data"]

    assert [day["day"] for day in days] == ["2026-11-09", "2026-11-10", "2026-11-11"]


def test_the_span_begins_with_its_first_moment_and_ends_before_its_last(door, job):
    for day in (1, 2, 3):
        call(job, ended_at=dt.datetime(2026, 11, day, tzinfo=dt.UTC))

    def calls(since, until):
        return usage(door, **{"from": since, "to": until})["total"]["calls"]["answered"]

    assert calls("2026-11-01", "2026-11-03") == 2
    assert calls("2026-11-01T00:00:01Z", "2026-11-03T00:00:01Z") == 2
    assert calls("2026-11-02T01:00:00+02:00", "2026-11-02T02:00:00+02:00") == 0
    assert calls("2026-11-02T02:00:00+02:00", "2026-11-02T02:00:00.000001+02:00") == 1


def test_the_present_month_is_meant_when_nothing_is_said(door, job):
    # Given a call of now and one of long ago
    Worker().end(job, [0])
    call(job, ended_at=dt.datetime(2020, 1, 31, tzinfo=dt.UTC))

    found = door.get(USAGE).get_json()

    today = dt.datetime.now(dt.UTC)
    assert found["from"] == f"{today:%Y-%m}-01T00:00:00.000000Z"
    until = dt.datetime.fromisoformat(found["to"])
    assert until.day == 1
    assert dt.timedelta(days=28) <= until - dt.datetime.fromisoformat(found["from"]) <= dt.timedelta(days=31)
    assert found["total"]["calls"]["answered"] == 1


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"},
        {"from": "2026-02-30"},
        {"from": "0001-01-01T00:00:00+14:00"},
        {"to": "2026-11-01T00:00:00 01:00"},
        {"from": "2026-11-02", "to": "2026-11-02"},
        {"from": "2026-11-03", "to": "2026-11-02"},
        {"from": "2999-01-01"},
        {"group_by": "key"},
        {"group_by": "day", "cursor": "nonsense"},
        {"limit": 0},
        {"since": "2026-11-02"},
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(door, query):
    refused = door.get(USAGE, query_string=query)

    assert refused.status_code == 422
    assert refused.get_json()["error"]["details"]["problems"]


@pytest.mark.parametrize("group_by", ["model", "day", "job", "user"])
def test_groups_come_in_pages_without_a_gap(door, group_by):
    # Given five groups of each kind
    users = [f"user-{number}" for number in range(5)]
    jobs = [door.colleague(user).submit(1) for user in users]
    for number, job in enumerate(jobs):
        call(job, model=f"claude-{number}", ended_at=NOON + dt.timedelta(days=number), cost=1)

    # When they are read two at a time
    pages, cursor = [], None
    while True:
        query = {"limit": 2, "group_by": group_by} | ({"cursor": cursor} if cursor else {})
        page = usage(door, **query)
        pages.append([group[group_by] for group in page["data"]])
        assert page["total"]["cost"] == "0.000000000005"  # of all pages, on each of them
        cursor = page["next_cursor"]
        if cursor is None:
            break

    # Then each is there once, in order; jobs are the newest first
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [group for page in pages for group in page] == {
        "model": [f"claude-{number}" for number in range(5)],
        "day": [f"2026-11-{10 + number}" for number in range(5)],
        "job": [job["id"] for job in jobs[::-1]],
        "user": users,
    }[group_by]


def test_server_tools_are_counted_by_job_and_by_day(door):
    jobs = [door.submit(1) for _ in range(2)]
    for number, job in enumerate(jobs, start=1):
        call(job, server_tool_uses={"web_search_requests": number}, ended_at=NOON + dt.timedelta(days=number))

    for group_by, order in (("job", [2, 1]), ("day", [1, 2])):
        found = usage(door, group_by=group_by)
        assert [each["server_tool_uses"]["web_search_requests"] for each in found["data"]] == order
        assert found["total"]["server_tool_uses"] == {"web_search_requests": 3}


def test_nobody_sees_the_calls_of_another_tenant(door, job):
    call(job)

    for group_by in ("model", "day", "job", "user"):
        assert usage(door.other(), group_by=group_by)["data"] == []
    assert usage(door.other())["total"] == NOTHING


def test_a_user_s_calls_are_shown_with_the_names_of_its_keys(door):
    # Given a key that acts for a user of its own, and two for one user, who has a namesake elsewhere
    asked = {"scopes": ["jobs:read", "jobs:write"]}
    own = door.post("/api/v1/keys", json=asked | {"name": "nightly script"}).get_json()
    for name in ("laptop", "phone"):
        door.post("/api/v1/keys", json=asked | {"name": name, "user_id": "grace"})
    door.other().post("/api/v1/keys", json=asked | {"name": "somebody's", "user_id": "grace"})
    nightly, grace = copy(door), door.colleague("grace")
    nightly.headers = {"X-API-Key": own["key"]}
    for user, cost in ((nightly, 1), (grace, 2), (grace, 3)):
        call(user.submit(1), cost=cost)

    # Then each user has what its keys' jobs cost, and the newest of their names
    found = usage(door, group_by="user")["data"]
    assert [(each["user"], each["key_names"], each["cost"]) for each in found] == [
        (own["user_id"], ["nightly script"], "0.000000000001"),
        ("grace", ["grace", "phone", "laptop"], "0.000000000005"),
    ]


def test_a_deleted_job_stays_in_the_books(door, job):
    Worker().end(job, [0])
    in_transaction(
        lambda session: (
            session.execute(Job.__table__.update().values(status="completed", deleted_at=NOON)) and None
        )
    )

    assert [each["job"] for each in door.get(USAGE, query_string={"group_by": "job"}).get_json()["data"]] == [
        job["id"]
    ]


def test_usage_needs_the_scope_for_reading(door):
    assert door.other("acme", scopes=["jobs:write"]).get(USAGE).status_code == 403
    assert door.other("acme", scopes=["jobs:read"]).get(USAGE).status_code == 200


CALLS = st.lists(
    st.tuples(
        st.sampled_from([ledger.ANSWERED, ledger.UNCONFIRMED, ledger.UNSENT]),
        st.sampled_from(["claude-a", "claude-b"]),
        st.none() | st.integers(0, 10**13),
        st.integers(0, 29),
        st.integers(0, 10**6),
    ),
    max_size=8,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS)
def test_groups_of_whatever_kind_add_up_to_the_total(door, job, calls):
    # Given any calls
    in_transaction(lambda session: session.execute(delete(Attempt)) and None)
    for outcome, model, cost, day, tokens in calls:
        call(
            job,
            outcome=outcome,
            model=model,
            cost=cost,
            ended_at=NOON.replace(day=1 + day),
            input_tokens=tokens if outcome == ledger.ANSWERED else 0,
        )
    costs = [cost for outcome, _, cost, _, _ in calls if outcome == ledger.ANSWERED]

    # Then their sum is the same, however they are grouped, and null if one of them has no price
    for group_by in ("model", "day", "job", "user"):
        found = usage(door, group_by=group_by)
        groups, total = found["data"], found["total"]
        assert total["calls"]["answered"] == len(costs)
        assert total["cost"] == (None if None in costs else pricing.dollars(sum(costs)))
        assert total["unpriced"] == costs.count(None)
        for figures in ("calls", "usage"):
            for name, value in total[figures].items():
                assert value == sum(group[figures][name] for group in groups)
        assert (total["cost"] is None) == any(group["cost"] is None for group in groups)
