"""Transactions as many writers use them, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.errors import Conflict
from models import JobCounts, Lease
from models.session import ATTEMPTS, after_commit, engine, in_transaction, reading


def test_many_writers_lose_no_update_and_are_never_refused(environment):
    # Given a row that eight threads raise by reading it and writing it back
    lease_id = in_transaction(_new_lease)

    def raise_counter(session):
        lease = session.get(Lease, lease_id, with_for_update=True)
        lease.counter = lease.counter + 1

    threads = [
        threading.Thread(target=lambda: [in_transaction(raise_counter) for _ in range(25)]) for _ in range(8)
    ]
    # When they do it at the same time
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Then each of the 200 is there
    with reading() as session:
        assert session.scalar(select(Lease.counter)) == 200
        assert session.scalar(select(JobCounts.job_id)) is None


def test_work_that_lost_its_connection_runs_again_whole_and_its_last_run_alone_counts(environment):
    # Given work that loses its connection twice, each time after it has written
    done = []
    work = Losing(2, after=lambda session: after_commit(session, lambda: done.append(work.runs)))

    # When it is run, then it is there once, and so is what was to follow it
    assert in_transaction(work) == 3
    assert done == [3]
    assert _leases() == 1


def test_work_that_never_keeps_its_connection_ends_with_its_own_error(environment):
    work = Losing(ATTEMPTS)

    with pytest.raises(OperationalError, match="connection"):
        in_transaction(work)

    assert work.runs == ATTEMPTS
    assert _leases() == 0


@pytest.mark.parametrize(
    "error", [ProgrammingError("SELECT", None, Exception("no such table")), Conflict("no")]
)
@pytest.mark.parametrize("lost", [0, 1])
def test_what_will_not_pass_by_itself_is_not_tried_again(environment, error, lost):
    # Given work that is wrong, at its first run or at one that followed a lost connection
    work = Losing(lost, after=lambda _: _raise(error) if work.runs > lost else None)

    with pytest.raises(type(error)) as raised:
        in_transaction(work)

    assert raised.value is error
    assert work.runs == lost + 1


def test_many_threads_run_again_beside_each_other(environment):
    works = [Losing(number % 4) for number in range(16)]

    with ThreadPoolExecutor(16) as pool:
        runs = list(pool.map(in_transaction, works))

    assert runs == [number % 4 + 1 for number in range(16)]
    assert _leases() == 16


class Losing:
    """Writes a row; its connection is lost the first `times` that it runs."""

    def __init__(self, times, after=lambda session: None):
        self.times, self.after, self.runs = times, after, 0

    def __call__(self, session):
        self.runs += 1
        session.add(Lease(name="test"))
        session.flush()
        self.after(session)
        if self.runs <= self.times:
            lost = ConnectionError("server closed the connection")
            raise OperationalError("INSERT", None, lost, connection_invalidated=True)
        return self.runs


def _raise(error):
    raise error


def _leases():
    with reading() as session:
        return len(session.scalars(select(Lease.id)).all())


def _new_lease(session):
    lease = Lease(name="test")
    session.add(lease)
    session.flush()
    session.execute(update(Lease).values(counter=0))
    return lease.id


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_no_statement_is_prepared_for_a_pooler_would_send_the_next_to_another_process(environment):
    with engine().connect() as connection:
        assert connection.connection.driver_connection.prepare_threshold is None
        assert connection.info["pooled"] is False
