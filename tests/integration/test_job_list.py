"""The list of jobs: what its filters and its search show, counted, page by page."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import update

from app.core.reading.job_list import listing, watch
from app.core.reading.job_list.listing import Query
from app.core.reading.job_list.status_filter import StatusFilter
from models import Job
from models.session import in_transaction, reading
from tasks import advance
from tests.support.front_door import JOBS, Door, Worker, number_of
from tests.support.stack import redis_away

NAMES = {
    "german": "Bewertungen KÖLN Straße",
    "arabic": "مراجعات العملاء",
    "chinese": "客户评论 第3批",
    "greek": "Σίσυφος",
    "percent": "100% sure",
    "underscore": "a_b",
    "plain": "aXb, 1000 sure",
}
SEARCHES = {
    "köln": {"german"},
    "STRASSE": {"german"},
    "Ko\u0308ln": {"german"},
    "العملاء": {"arabic"},
    "评论": {"chinese"},
    "ΣΊΣΥΦΟΣ": {"greek"},
    "0%": {"percent"},
    "a_b": {"underscore"},
    "  Sure\t": {"percent", "plain"},
    "sure\\": set(),
    "' OR 1=1 --": set(),
    "\0": set(NAMES),
    "z" * 10_000: set(),
}


@pytest.fixture
def door(environment) -> Iterator[Door]:
    """Nobody starts what it submits."""
    with redis_away():
        yield Door()


def test_every_job_is_found_by_one_filter_and_counted_by_it(door):
    # Given a job in every state, one that is being cancelled, one of somebody else, and one without failures
    # and one with them that ended in the release before
    one_in_every_state(door)
    for name, failed in (("completed", 0), ("with_failures", 1)):
        set_job(ended(door, name, failed=failed), failures=None)
    set_job(door.submit(2, name="being cancelled"), status="cancelling")
    door.other().submit(1, name="waiting")
    set_job(door.submit(1, name="a call that somebody waits for"), attended="whole")

    # When they are looked for by each filter
    found = {word.value: names(door, word) for word in StatusFilter}

    # Then each is found by one, and by `all`; and the counts are those of the lists
    words = [word.value for word in StatusFilter if word != StatusFilter.ALL]
    assert found.pop("all") == ["being cancelled", "with_failures", "completed", *reversed(words)]
    assert found.pop("running") == ["being cancelled", "running"]
    twice = {word: [word, word] for word in ("completed", "with_failures")}
    assert found == {word: [word] for word in words if word != "running"} | twice
    assert tally(door) == {"all": 11, "running": 2, **{word: len(names) for word, names in found.items()}}
    assert tally(door, "with") == {"all": 2, "with_failures": 2}


def test_names_are_found_in_any_language_and_every_character_means_itself(door):
    # Given jobs whose names are in many languages and alphabets
    for name in NAMES.values():
        door.submit(1, name=name)

    # When they are searched as people type
    found = {typed: set(names(door, StatusFilter.ALL, typed)) for typed in SEARCHES}

    # Then each finds what it means, and the counts are those of what is found
    assert found == {typed: {NAMES[name] for name in meant} for typed, meant in SEARCHES.items()}
    assert tally(door, "sure") == {"all": 2, "waiting": 2}


def test_a_job_is_found_by_its_label_its_id_and_its_new_name(door):
    # Given jobs of two tenants, one with a label, another renamed, a third as the release before left it
    door.other().submit(1, name="nightly")
    labelled = door.submit(1, name="text")
    change_through_its_row(labelled, label="Nightly-7")
    renamed = door.submit(1, name="draft")
    door.call("PATCH", f"{JOBS}/{renamed['id']}", json={"name": "Nightly 8"})
    set_job(door.submit(1, name="Nightly 9"), search_text=None)

    # When they are searched; and one by its id, in each of its forms
    by_name = names(door, StatusFilter.ALL, "nightly")
    wanted = labelled["id"]
    forms = [
        wanted,
        wanted[:23],
        wanted.upper(),
        wanted.replace("-", "")[:30],
        f"msgbatch_{uuid.UUID(wanted).hex}",
    ]
    by_id = [names(door, StatusFilter.ALL, form) for form in forms]

    # Then all are found, and by a piece of an id that could be anybody's number none is
    assert by_name == ["Nightly 9", "Nightly 8", "text"]
    assert all("text" in found for found in by_id)
    assert by_id[0] == by_id[2] == by_id[4] == ["text"]
    assert names(door, StatusFilter.ALL, wanted[:4]) == []
    assert names(door, StatusFilter.ALL, "draft") == []


def test_a_search_goes_on_where_it_stopped(door, monkeypatch):
    # Given more jobs than one search looks through, of which the oldest is meant
    monkeypatch.setattr(listing, "SPAN", 3)
    made = [door.submit(1, name=f"job {number}") for number in range(7)]

    # When its pages are read to the end
    pages, before = [], None
    while True:
        page = shown(door, StatusFilter.ALL, "job 0", before=before)
        pages.append([view.name for view in page.jobs])
        if (before := page.older) is None:
            break

    # Then it is found, and the counts say that they are of the newest alone
    assert pages == [[], [], ["job 0"]]
    with reading() as session:
        counted = listing.tally(session, door.tenant_id, "job")
    assert (counted.counts[StatusFilter.ALL], counted.of_all) == (3, False)

    # And without a search pages are full, without a gap
    first = shown(door, limit=5)
    rest = shown(door, before=first.older, limit=5)
    assert [str(view.uid) for view in (*first.jobs, *rest.jobs)] == [job["id"] for job in reversed(made)]
    assert rest.older is None


def test_who_looks_at_a_list_where_nothing_moves_costs_one_statement_a_look(door, statements, monkeypatch):
    # Given somebody who looks at a list of jobs
    monkeypatch.setattr(watch, "LOOK", 0)
    monkeypatch.setattr(watch, "AGAIN", 1_000)
    for number in range(3):
        door.submit(1, name=f"job {number}")
    changes = watch.watch(door.tenant_id, Query(), None, 50, float)
    assert len(next(changes).page.jobs) == 3

    # When nothing moves for ten looks
    with statements() as sent:
        quiet = [next(changes) for _ in range(10)]

    # Then each was one statement, which finds its rows by their keys
    assert quiet == [watch.Change()] * 10
    assert len([statement for statement in sent if statement.startswith("SELECT")]) == 10


def test_what_changes_while_a_list_is_read_is_told_at_the_next_look(door, hearing, monkeypatch):
    # Given a job that is paused just when somebody's list, in which it waits, has been read
    monkeypatch.setattr(watch, "LOOK", 0)
    job = door.submit(1)
    changes = watch.watch(door.tenant_id, Query(), None, 50, float)

    def pause(statement: str) -> None:
        if job and statement.startswith("SELECT job.id, job.status, job.updated_at"):
            set_job({"id": job.pop("id")}, status="paused")

    with hearing(lambda _, __, statement, *___: pause(statement)):
        assert [view.status for view in next(changes).page.jobs] == ["pending"]

    # Then she is told so
    assert [view.status for view in next(changes).rows] == ["paused"]


def one_in_every_state(door: Door) -> None:
    """A job for each filter, named by it, in their order."""
    door.submit(2, name="waiting")
    set_job(door.submit(2, name="running"), status="running")
    door.post(f"{JOBS}/{door.submit(2, name='paused')['id']}/pause")
    ended(door, "completed", failed=0)
    ended(door, "with_failures", failed=1)
    for status in ("failed", "cancelled", "expired"):
        set_job(door.submit(2, name=status), status=status)


def ended(door: Door, name: str, *, failed: int) -> Mapping[str, Any]:
    job, worker = door.submit(2, name=name), Worker()
    if failed:
        worker.end(job, range(failed), error=("invalid_request", "too long"))
    worker.end(job, range(failed, 2))
    advance.run(number_of(job))
    return job


def set_job(job, **values) -> None:
    where = Job.uid == uuid.UUID(job["id"])
    in_transaction(lambda session: session.execute(update(Job).where(where).values(**values)) and None)


def change_through_its_row(job, **values) -> None:
    def work(session) -> None:
        row = session.get_one(Job, number_of(job))
        for field, value in values.items():
            setattr(row, field, value)

    in_transaction(work)


def shown(door: Door, *query, before=None, limit=50) -> listing.JobPage:
    with reading() as session:
        return listing.page(session, door.tenant_id, Query(*query), before, limit)


def names(door: Door, *query) -> list[str | None]:
    return [view.name for view in shown(door, *query).jobs]


def tally(door: Door, searched: str = "") -> dict[str, int]:
    with reading() as session:
        counts = listing.tally(session, door.tenant_id, searched).counts
    return {word.value: count for word, count in counts.items() if count}
