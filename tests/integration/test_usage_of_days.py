"""What a tenant's days cost, from their narrow rows, and the file of its bookkeeper, from the ledger."""

import csv
import datetime as dt
import io

import pytest
from sqlalchemy import update

from app.core.money import ledger, pricing, spend, usage
from app.core.money.spend import Days, Spent
from app.core.money.usage import Span
from app.core.reading import usage_export
from models import Job
from models.session import in_transaction, reading
from tests.integration.test_api_usage import call
from tests.support.front_door import Door, Worker, number_of

pytestmark = pytest.mark.one_database

FIRST, SECOND = dt.datetime(2026, 11, 9, 12, tzinfo=dt.UTC), dt.datetime(2026, 11, 11, tzinfo=dt.UTC)
NOVEMBER = Span(dt.datetime(2026, 11, 1, tzinfo=dt.UTC), dt.datetime(2026, 12, 1, tzinfo=dt.UTC))


def lately(days_ago: int = 0) -> Days:
    """A day and the one before it: midnight may fall into a test."""
    last = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=days_ago)
    return Days(last - dt.timedelta(days=1), last)


@pytest.fixture
def door(environment):
    return Door()


def bookkeeping(door, span=NOVEMBER):
    text = b"".join(usage_export.csv(door.tenant_id, span)).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_days_models_and_users_add_up_to_what_was_spent(door):
    # Given what jobs of two users cost on three days
    ada, grace = door.submit(1), door.colleague("grace").submit(1)
    is_graces = Job.id == number_of(grace)
    in_transaction(lambda s: s.execute(update(Job).where(is_graces).values(model="claude-x")) and None)
    days = [dt.date(2026, 10, 31), dt.date(2026, 11, 1), dt.date(2026, 11, 30)]
    for job, day, cost, unconfirmed in (
        (ada, days[0], 1, 0),
        (ada, days[1], 20, 3),
        (grace, days[1], 400, 0),
        (grace, days[2], 5_000, 60_000),
    ):
        number = number_of(job)
        in_transaction(
            lambda s, job=number, day=day, cost=cost, unconfirmed=unconfirmed: spend.move(
                s, job, door.tenant_id, cost=cost, unconfirmed=unconfirmed, day=day
            )
        )

    # Then they are summed up in each way, the largest first where they have no order of their own
    november = Days(days[1], days[2])
    with reading() as session:
        assert spend.by_day(session, door.tenant_id, november) == [
            Spent(days[1], 420, 3),
            Spent(days[2], 5_000, 60_000),
        ]
        assert spend.largest(session, door.tenant_id, november, "user", 9) == [
            Spent("grace", 5_400, 60_000),
            Spent("ada", 20, 3),
        ]
        assert spend.largest(session, door.tenant_id, november, "model", 1) == [
            Spent("claude-x", 5_400, 60_000)
        ]
        assert spend.by_day(session, door.other().tenant_id, november) == []


def test_answers_without_a_price_are_counted_beside_the_money(door):
    # Given answers of today whose model has no price
    job = door.submit(3)
    Worker().end(job, range(2), model="claude-of-tomorrow")

    with reading() as session:
        assert spend.unpriced(session, door.tenant_id, lately(), 5) == [(job["model"], 2)]
        assert spend.unpriced(session, door.tenant_id, lately(days_ago=2), 5) == []


def test_the_bookkeeper_s_file_has_a_row_for_each_day_model_and_user(door):
    # Given calls of two days, two models and two users, one of which has a name like a formula
    job, other = door.submit(1), door.colleague("=cmd|calc").submit(1)
    call(job, ended_at=FIRST, input_tokens=7, output_tokens=2, cost=10**12)
    call(job, ended_at=FIRST, input_tokens=1, cost=5 * 10**11)
    call(job, ended_at=FIRST, outcome=ledger.UNCONFIRMED, cost=1)
    call(job, ended_at=FIRST, outcome=ledger.UNSENT, cost=0)
    call(other, ended_at=SECOND, cost=3)
    call(other, ended_at=SECOND, cost=None, model="claude-of-tomorrow")
    call(other, ended_at=NOVEMBER.until, cost=99)

    # Then each is a row, and what a spreadsheet would run is text
    first, second, third = bookkeeping(door)
    assert first == {
        "day": "2026-11-09",
        "model": "claude-haiku-4-5",
        "user_id": "ada",
        "keys": "test",
        "answered_calls": "2",
        "unconfirmed_calls": "1",
        "input_tokens": "8",
        "output_tokens": "2",
        "cache_read_tokens": "0",
        "cache_write_5m_tokens": "0",
        "cache_write_1h_tokens": "0",
        "cost_usd": "1.50",
        "answers_without_price": "0",
        "prompt_cache_saved_usd": "0.00",
        "unconfirmed_cost_usd": "0.000000000001",
    }
    figures = ("day", "model", "user_id", "cost_usd", "answers_without_price")
    assert [second[name] for name in figures] == [
        "2026-11-11",
        "claude-haiku-4-5",
        "'=cmd|calc",
        "0.000000000003",
        "0",
    ]
    assert [third[name] for name in figures] == ["2026-11-11", "claude-of-tomorrow", "'=cmd|calc", "", "1"]

    # And its span may begin and end within a day
    assert bookkeeping(door, Span(FIRST, FIRST + dt.timedelta(seconds=1))) == [first]
    assert bookkeeping(door, Span(FIRST + dt.timedelta(seconds=1), SECOND)) == []
    assert bookkeeping(door.other()) == []


def test_every_line_of_the_file_is_in_the_books(door):
    # Given calls that workers have booked themselves
    job = door.submit(4)
    Worker().end(job, range(4), model="claude-haiku-4-5")

    # Then file, ledger and narrow rows agree
    with reading() as session:
        month = usage.span(session, None, None)
        total = usage.read(session, door.tenant_id, "user", month, None, 9).total
        spent = spend.by_day(session, door.tenant_id, lately())
    (line,) = bookkeeping(door, month)
    assert total.cost
    assert (line["answered_calls"], line["cost_usd"]) == ("4", pricing.dollars(total.cost))
    assert [each.cost for each in spent] == [total.cost]
