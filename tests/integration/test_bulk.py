"""Many rows in one statement: refused and interrupted like any other, and found by their index."""

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError

from models import JobCounts, RecordInput
from models.base import any_of, counted
from models.bulk import load
from models.session import in_transaction, reading

NAMES = ("job_id", "idx", "custom_id", "body")
ROWS = [(1, idx, None, b"any \0 bytes") for idx in range(5)]


def test_rows_that_are_there_already_are_refused_whole(environment):
    in_transaction(lambda session: load(session, RecordInput, NAMES, ROWS[:1]))

    with pytest.raises(IntegrityError):
        in_transaction(lambda session: load(session, RecordInput, NAMES, ROWS))

    assert stored() == 1


def test_any_number_of_rows_is_found(environment):
    in_transaction(lambda session: load(session, RecordInput, NAMES, ROWS))
    found = select(RecordInput.idx).where(RecordInput.job_id == 1).order_by(RecordInput.idx)

    with reading() as session:
        assert session.scalars(found.where(any_of(RecordInput.idx, [4, 1, 77]))).all() == [1, 4]
        assert session.scalars(found.where(any_of(RecordInput.idx, []))).all() == []


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_sqlite_looks_for_each_of_many_by_its_index(environment, statements_with_values):
    with statements_with_values() as sent, reading() as session:
        session.scalars(
            select(RecordInput.body).where(RecordInput.job_id == 1, any_of(RecordInput.idx, [1]))
        ).all()

        [(statement, values)] = sent.items()
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
        assert "SEARCH record_input USING INDEX" in plan[0].detail
        assert "(job_id=? AND idx=?)" in plan[0].detail


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_rows_whose_connection_broke_on_the_way_are_sent_again(environment):
    # Given a connection that is ended by the server while rows go over it
    attempts = []

    def rows(session):
        yield ROWS[0]
        if len(attempts) == 1:
            ended = session.connection().connection.driver_connection.info.backend_pid
            in_transaction(lambda s: s.execute(text(f"SELECT pg_terminate_backend({ended})")) and None)
        yield from ROWS[1:]

    def work(session):
        attempts.append(session)
        load(session, RecordInput, NAMES, rows(session))

    # When they are stored, then the transaction runs again, and each is there once
    in_transaction(work)
    assert len(attempts) == 2
    assert stored() == len(ROWS)


def stored():
    with reading() as session:
        return session.scalar(select(func.count()).select_from(RecordInput))


def test_counts_by_name_are_added_up_in_the_row_and_only_the_largest_are_kept(quiet):
    # Given a job that has counted nothing yet
    job = quiet.prompts(1)
    adding = (
        update(JobCounts)
        .where(JobCounts.job_id == job.id)
        .values(stop_reasons=counted(JobCounts.stop_reasons, "by"))
    )

    def add(**by: int) -> dict[str, int]:
        in_transaction(lambda session: session.execute(adding, {"by": by}))
        return job.counts().stop_reasons or {}

    # Then counts are added, taken off, and gone at 0
    assert add() == {}
    assert add(end_turn=250, refusal=2) == {"end_turn": 250, "refusal": 2}
    assert add(end_turn=3, refusal=-2, max_tokens=1) == {"end_turn": 253, "max_tokens": 1}

    # And names from outside do not fill the row
    many = add(**{f"word_{number}": 2 for number in range(1_000)})
    assert len(many) == 50
    assert many["end_turn"] == 253
