"""The check of the books: what agrees, and that each difference is named; rows without workers."""

import datetime as dt
from functools import partial
from itertools import combinations

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select, text, update

from app.cli.commands.ledger import ledger as command
from app.core.money import ledger, reconciliation
from app.core.money.reconciliation import can_be
from app.core.pipeline import lifecycle, outcomes, recovery, retention
from app.core.pipeline.outcomes import Outcome
from app.core.reading.records import snapshot
from app.core.requests import job_context
from app.errors import NotFound
from app.providers.client import Usage
from models import Attempt, Job, JobCounts, Record, RecordOutput, RecordStatus, Spend, session
from models.base import now, utc_day
from models.session import in_transaction
from tests.support.front_door import Door, Worker, number_of

pytestmark = pytest.mark.one_database

PRICED, UNPRICED = "claude-haiku-4-5", "claude-of-tomorrow"
USAGE = Usage(1_000, 200, 30, 4, 6, {"web_search_requests": 1})
ANSWERED, ERROR, SWALLOWED, AGAIN = "answered", "error", "swallowed", "again"

slow_database = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def door(environment):
    return Door()


@pytest.fixture
def job(door):
    """A job with answers, an error, a record that was asked twice, a swallowed call and a pending record."""
    made = door.submit(6)
    ask(made, 0, ANSWERED)
    ask(made, 1, ERROR)
    ask(made, 2, AGAIN, ANSWERED)
    ask(made, 3, SWALLOWED, ANSWERED)
    ask(made, 4, SWALLOWED)
    write_spend()
    return made


def ask(job, index, *ends, model=PRICED):
    """The calls for one record, one after the other."""
    worker, of = Worker(), job_context.of(number_of(job))
    for end in ends:
        (claim,) = worker.claim(job, [index])
        if end == SWALLOWED:
            in_transaction(partial(recovery.end_lease, lease_id=worker.lease_id, died=True))
            worker = Worker()
            continue
        write(_outcome(of, claim, end, model))


def write(*group):
    return in_transaction(lambda s: outcomes.write(s, group))


def _outcome(of, claim, end=ANSWERED, model=PRICED):
    if end == ERROR:
        call = ledger.Call(ledger.ANSWERED, model, error_type="invalid_request")
        return Outcome(of, claim, call, RecordStatus.FAILED, error_type="invalid_request")
    call = ledger.answered(model, {}, USAGE, "req_1", 0.0, sent_at=dt.datetime.now(dt.UTC))
    if end == AGAIN:  # paid, and of no use
        return Outcome(of, claim, call, None, error_type="schema_mismatch", blamed=True, again_in=0.0)
    return Outcome(of, claim, call, RecordStatus.SUCCEEDED, b"{}")


def write_spend():
    """What the days cost, as the migration that made the table filled it."""

    def work(s):
        day = utc_day(Attempt.ended_at)
        sums = [
            func.coalesce(func.sum(Attempt.cost).filter(Attempt.outcome == outcome), 0)
            for outcome in (ledger.ANSWERED, ledger.UNCONFIRMED)
        ]
        s.execute(delete(Spend))
        rows = select(Attempt.job_id, day, Attempt.tenant_id, *sums).group_by(
            Attempt.job_id, day, Attempt.tenant_id
        )
        names = ["job_id", "day", "tenant_id", "cost", "cost_unconfirmed"]
        s.execute(insert(Spend).from_select(names, rows))

    in_transaction(work)


def change(statement):
    in_transaction(lambda s: s.execute(statement) and None)


def differences(job_id=None):
    with snapshot() as s:
        return list(reconciliation.Check(s, job_id).differences())


def whats(job_id=None):
    return [difference.what for difference in differences(job_id)]


def test_books_of_nothing_agree(environment):
    assert differences() == []


def test_books_agree_whatever_became_of_the_calls(door, job):
    assert differences() == []


def test_books_agree_while_calls_are_in_flight_and_when_their_job_is_cancelled(door, job):
    # Given a call in flight
    worker = Worker()
    (claim,) = worker.claim(job, [5])
    assert differences() == []

    # When its job is cancelled and it is closed
    in_transaction(lambda s: lifecycle.cancel(s, lifecycle.find(s, door.tenant_id, job["id"])))
    call = ledger.unconfirmed(PRICED, {}, 100, 10, "cancelled", sent_at=dt.datetime.now(dt.UTC))
    write(Outcome(job_context.of(claim.job_id), claim, call, RecordStatus.CANCELLED))
    in_transaction(lambda s: lifecycle.finish_closed(s, lifecycle.find(s, door.tenant_id, job["id"])))
    write_spend()

    # Then they agree before the sweep writes the rows of what was pending, and after
    assert door.job(job)["status"] == "cancelled"
    assert differences() == []
    in_transaction(retention.settle)
    assert differences() == []


def test_an_answer_that_came_late_is_in_the_ledger_and_no_difference_to_its_record(door):
    # Given a record whose process was taken for dead, and that another one asked again
    job, worker = door.submit(1), Worker()
    (lost,) = worker.claim(job, [0])
    in_transaction(partial(recovery.end_lease, lease_id=worker.lease_id, died=True))
    ask(job, 0, ANSWERED)

    # When the first answer comes after all
    write(_outcome(job_context.of(lost.job_id), lost))
    write_spend()

    # Then the job has paid twice, its record once, and the books agree
    assert door.job(job)["cost"] == "0.02404"
    assert differences() == []


@pytest.mark.parametrize("end", [ANSWERED, AGAIN])
def test_books_of_a_model_without_a_price_agree(door, end):
    job = door.submit(2)
    ask(job, 0, *([AGAIN] if end == AGAIN else []), ANSWERED, model=UNPRICED)
    write_spend()

    assert door.job(job)["cost"] is None
    assert differences() == []


@pytest.mark.parametrize(
    "name",
    [
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cost",
        "cost_unconfirmed",
        "unpriced",
    ],
)
def test_a_total_that_is_off_by_one_is_named(job, name):
    column = getattr(JobCounts, name)
    change(update(JobCounts).values({name: column + 1}))

    (found,) = differences()

    assert (found.job, found.what) == (job["id"], f"job_counts.{name}")
    assert found.kept != found.rows


def test_a_difference_says_both_figures(job):
    change(update(JobCounts).values(cost=7, output_tokens=1_234))

    said = [str(difference) for difference in differences()]

    assert said == [
        f"job {job['id']}: job_counts.output_tokens is 1,234, its rows add up to 800",
        f"job {job['id']}: job_counts.cost is $0.000000000007, its rows add up to $0.04808",
    ]


def test_a_call_that_is_missing_in_the_ledger_is_a_difference_everywhere(job):
    change(delete(Attempt).where(Attempt.idx == 0))

    found = whats()

    today = dt.datetime.now(dt.UTC).date()
    assert "job_counts.cost" in found
    assert "record_output.cost of record 0" in found
    assert f"spend.cost of {today} of its tenant" in found


@pytest.mark.parametrize(
    ("idx", "cost"), [(0, 1), (0, None), (1, 1), (2, 12_020_000_000), (3, 0), (3, 10**15)]
)
def test_a_record_whose_cost_is_not_that_of_its_answers_is_named(job, idx, cost):
    change(update(RecordOutput).where(RecordOutput.idx == idx).values(cost=cost))

    assert whats() == [f"record_output.cost of record {idx}"]


@pytest.mark.parametrize("name", ["cost", "cost_unconfirmed"])
def test_a_day_whose_spending_is_off_is_named(job, name):
    column = getattr(Spend, name)
    change(update(Spend).values({name: column + 1}))

    assert whats() == [f"spend.{name} of {dt.datetime.now(dt.UTC).date()} of its tenant"]


def test_spending_of_a_day_without_calls_and_of_another_tenant_is_named(door, job):
    number = number_of(job)
    change(
        insert(Spend).values(
            job_id=number, day=dt.date(2026, 1, 2), tenant_id=door.tenant_id, cost=1, cost_unconfirmed=0
        )
    )
    assert whats() == ["spend.cost of 2026-01-02 of its tenant"]

    write_spend()
    change(update(Spend).values(tenant_id=door.tenant_id + 7))
    assert {what.partition(" of tenant ")[2] for what in whats()} == {
        "",
        f"{door.tenant_id + 7}, which does not own it",
    }


def test_a_call_belongs_to_the_day_in_utc_when_it_ended(job):
    # Given a call that ended in the last millisecond of a day
    change(
        update(Attempt)
        .where(Attempt.idx == 0)
        .values(ended_at=dt.datetime(2026, 3, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC))
    )
    with session.engine().begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET TIME ZONE 'Asia/Tokyo'"))
        day = connection.execute(select(utc_day(Attempt.ended_at)).where(Attempt.idx == 0)).scalar()

    # Then that day, wherever the database thinks that it is
    assert day == dt.date(2026, 3, 31)
    assert "spend.cost of 2026-03-31 of its tenant" in whats()


def test_calls_of_a_job_that_is_not_there_are_named(door, job):
    change(update(Attempt).where(Attempt.idx == 0).values(job_id=999_999))

    assert "999999" in "".join(difference.job for difference in differences())


def test_a_call_under_another_tenant_is_named(door, job):
    change(update(Attempt).where(Attempt.idx == 0).values(tenant_id=door.tenant_id + 7))

    assert "its tenant" in whats()


@pytest.fixture
def ended(door):
    """A job that has ended, with two answers and an error."""
    made = door.submit(3)
    for index, end in enumerate((ANSWERED, ANSWERED, ERROR)):
        ask(made, index, end)
    write_spend()
    change(update(Job).values(status="completed", ended_at=now()))
    return made


def test_the_counts_of_an_ended_job_agree_with_its_records(ended):
    assert differences() == []


@pytest.mark.parametrize("word", ["succeeded", "failed", "cancelled", "expired"])
def test_a_count_of_an_ended_job_that_is_off_is_named(ended, word):
    change(update(JobCounts).values({word: getattr(JobCounts, word) + 1}))

    assert whats() == [f"job_counts.{word}"]


def test_a_record_of_an_ended_job_that_has_not_ended_is_named(ended):
    change(update(Record).where(Record.idx == 2).values(status=RecordStatus.WAITING.value))

    assert whats() == ["job_counts.failed", "job.total"]


def test_a_job_without_its_totals_is_a_difference(job):
    change(delete(JobCounts))

    assert "job_counts.cost" in whats()


def test_jobs_are_looked_at_by_the_page_and_none_is_left_out(door, monkeypatch):
    # Given five jobs and pages of two
    monkeypatch.setattr(reconciliation, "PAGE", 2)
    made = [door.submit(1) for _ in range(5)]
    for each in made:
        ask(each, 0, ANSWERED)
    write_spend()
    assert differences() == []

    # When each is wrong, then each is named, once
    change(update(JobCounts).values(input_tokens=1))
    assert [difference.job for difference in differences()] == [each["id"] for each in made]


def test_one_job_is_looked_at_alone(door, job):
    other = door.submit(1)
    ask(other, 0, ANSWERED)
    change(update(JobCounts).values(input_tokens=1))

    assert {difference.job for difference in differences(number_of(other))} == {other["id"]}
    with snapshot() as s:
        comparison = reconciliation.Check(s, number_of(job))
        assert len(list(comparison.differences())) == 1
        assert (comparison.jobs, comparison.attempts) == (1, 7)


def test_what_is_written_meanwhile_is_no_difference(door, job):
    with snapshot() as s:
        # Given a check that has begun
        assert s.scalar(select(func.count()).select_from(Job)) == 1

        # When a record ends
        ask(job, 5, ANSWERED)

        # Then it sees the moment when it began
        comparison = reconciliation.Check(s)
        assert list(comparison.differences()) == []
        assert comparison.attempts == 7


def test_a_check_costs_as_many_statements_for_many_records_as_for_one(door, statements):
    job = door.submit(1)
    ask(job, 0, ANSWERED)
    write_spend()
    with statements() as one:
        differences()
    job = door.submit(20)
    Worker().end(job, range(20))
    write_spend()

    with statements() as twenty:
        assert differences() == []

    assert len(twenty) == len(one)


CALLS = st.lists(
    st.tuples(st.lists(st.sampled_from([AGAIN, SWALLOWED]), max_size=2), st.sampled_from([ANSWERED, ERROR])),
    min_size=1,
    max_size=4,
)


@slow_database
@given(calls=CALLS, model=st.sampled_from([PRICED, UNPRICED, "simulated"]))
def test_totals_agree_after_any_calls(door, calls, model):
    job = door.submit(len(calls))
    for index, (before, last) in enumerate(calls):
        ask(job, index, *before, last, model=model)
    write_spend()

    assert differences(number_of(job)) == []


prices = st.lists(st.none() | st.integers(0, 9), max_size=4)


@given(kept=st.none() | st.integers(0, 40), in_time=prices, late=prices)
def test_a_record_costs_what_was_there_in_time_and_any_of_what_came_late(kept, in_time, late):
    bills = [[*in_time, *some] for count in range(len(late) + 1) for some in combinations(late, count)]
    assert can_be(kept, in_time, late) == (kept in {None if None in bill else sum(bill) for bill in bills})


def run(*arguments):
    ran = CliRunner().invoke(command, ["check", *arguments], standalone_mode=False)
    return ran.return_value, ran.output.splitlines(), ran.exception


def test_the_command_says_in_one_line_that_all_agrees(job):
    assert run() == (0, ["1 job, 7 calls: all agree"], None)


def test_the_command_names_each_difference_and_fails(job):
    change(update(JobCounts).values(input_tokens=1, output_tokens=1))

    code, lines, _ = run("--job", job["id"])

    assert code == 1
    assert lines[0].startswith(f"job {job['id']}: job_counts.input_tokens is 1, its rows add up to ")
    assert len(lines) == 3
    assert lines[-1] == "1 job, 7 calls: 2 differences"


@pytest.mark.parametrize("uid", ["nonsense", "01a204a9-0b70-7336-a122-8627d1458907"])
def test_the_command_knows_no_job_that_is_not_there(environment, uid):
    _, lines, error = run("--job", uid)

    assert isinstance(error, NotFound)
    assert uid in str(error)
    assert lines == []
