"""No room for another byte under SQLite: answers wait, calls stop, and all goes on when there is room."""

import resource
import time

import pytest

from tests.faults.support.breakable_stack import Site, first_ends, pass_by, process
from tests.faults.support.rounds import LONG

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

FULL = 30 if LONG else 6  # seconds
PATIENCE = 2  # seconds that paid answers may wait before no more calls leave


@pytest.fixture
def site(environment, tmp_path, upstream):
    environment |= Site.asking(upstream)
    made = Site(environment, tmp_path, upstream)
    yield made
    made.stop()


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_a_disk_without_room_costs_no_answer(site, records, moments, figures):
    # Given a job under way
    job = site.begin(records, next(moments))
    workers = [process(node).pid for node in site.nodes]

    # When no worker can write another byte to any file
    limits = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in workers]
    for pid, (_, hard) in zip(workers, limits, strict=True):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    full = time.monotonic()
    pass_by(FULL)
    arrived = [seen["at"] for seen in site.upstream.books()]
    ended = job.ended()
    for pid, limit in zip(workers, limits, strict=True):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    room = time.monotonic()

    # Then calls had stopped, and every answer that waited is written
    assert max(arrived) < full + PATIENCE + 2
    assert ended < records
    seconds = first_ends(job, since=room)
    books = site.finish(job)
    figures.note(f"SQLite's disk full for {FULL} s", books, seconds)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)
