"""Many rows in one statement: refused and interrupted like any other."""

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from models import RecordInput
from models.bulk import load
from models.session import in_transaction, reading

NAMES = ("job_id", "idx", "custom_id", "body")
ROWS = [(1, idx, None, b"any \0 bytes") for idx in range(5)]


def test_rows_that_are_there_already_are_refused_whole(environment):
    in_transaction(lambda session: load(session, RecordInput, NAMES, ROWS[:1]))

    with pytest.raises(IntegrityError):
        in_transaction(lambda session: load(session, RecordInput, NAMES, ROWS))

    assert stored() == 1


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
