"""Transactions as many writers use them, on both databases."""

import threading

from sqlalchemy import select, update

from models import JobCounts, Lease
from models.session import in_transaction, reading


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


def _new_lease(session):
    lease = Lease(name="test")
    session.add(lease)
    session.flush()
    session.execute(update(Lease).values(counter=0))
    return lease.id
