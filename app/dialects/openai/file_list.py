"""The list of files: those that were uploaded, and the output and error files of batches that have ended.

Both are in one order, by the time of their creation, which for a batch's files is its end. The size of such a
file is known only once it has been written, so a page of many large ones ends early.
"""

import datetime as dt
import heapq
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from app.core.documents import files
from app.core.reading import file_batches, jobs
from app.core.reading.jobs import JobView
from app.dialects.openai import wire
from app.dialects.openai.outputs import Output
from app.dialects.openai.wire import ERRORS, OUTPUT
from app.errors import NotFound
from app.web import job_lookup
from models.file import File, FileBatch
from models.session import reading

AT_ONCE = 200  # rows that are read at once
# Records of batches whose files a page writes to know their sizes, besides those of one file.
COUNTED = 20_000
MILLISECOND = 1_000  # microseconds
LATEST = 2**48 - 1  # millisecond that the id of an upload can have

Json = dict[str, Any]


class Place(NamedTuple):
    """Where a file stands in the list."""

    microseconds: int  # of Unix time
    of_batch: bool
    uid: uuid.UUID  # the file's, or its batch's
    is_errors: bool = False


class Listed(NamedTuple):
    """A file in the list; `records` are those that have to be read for it."""

    place: Place
    records: int
    out: Callable[[], Json]


def page(tenant_id: int, query: Mapping[str, Any]) -> tuple[list[Json], bool]:
    """The files of a page, and whether others come after them. Raises `BadInput` for an unknown `after`."""
    purpose, is_ascending = query.get("purpose"), query["order"] == "asc"
    after = None if "after" not in query else _place(query["after"])
    sources = []
    if purpose != wire.OF_BATCHES:
        sources.append(_uploads(tenant_id, after, purpose, is_ascending))
    if purpose in (None, wire.OF_BATCHES):
        sources.append(_of_batches(tenant_id, after, is_ascending))
    found: list[Json] = []
    records = 0
    for listed in heapq.merge(*sources, key=lambda one: one.place, reverse=not is_ascending):
        records += listed.records
        if len(found) == query["limit"] or (found and records > COUNTED):
            return found, True
        found.append(listed.out())
    return found, False


def _place(file_id: str) -> Place:
    named = wire.read_file_id(file_id)
    if named is None or named.of_batch not in (None, OUTPUT, ERRORS):
        raise wire.wrong_after(f"give the id of a file; found {file_id!r}")
    if named.of_batch is None:
        return _place_of_upload(named.uid)
    try:
        view = job_lookup.find_job(str(named.uid))
    except NotFound:
        raise wire.wrong_after(f"there is no file {file_id!r}") from None
    if view.ended_at is None:
        raise wire.wrong_after(f"the batch of {file_id!r} has not ended, so that no list has its files yet")
    return _place_of_output(view, named.of_batch)


def _uploads(
    tenant_id: int, after: Place | None, purpose: str | None, is_ascending: bool
) -> Iterator[Listed]:
    last = None if after is None else _beside(after, is_ascending)
    while True:
        with reading() as session:
            some = files.page(
                session, tenant_id, after=last, limit=AT_ONCE, oldest_first=is_ascending, purpose=purpose
            )
        for file in some:
            yield Listed(_place_of_upload(file.uid), 0, _writer(file))
        if len(some) < AT_ONCE:
            return
        last = some[-1].uid


def _of_batches(tenant_id: int, after: Place | None, is_ascending: bool) -> Iterator[Listed]:
    last: tuple[dt.datetime, uuid.UUID | None] | None = None
    if after is not None:
        last = (_time(after.microseconds), after.uid if after.of_batch else None)
    while True:
        with reading() as session:
            views = jobs.page_ended(session, tenant_id, last, AT_ONCE, oldest_first=is_ascending)
            terms = file_batches.of(session, views)
            readable = [view for view in views if file_batches.can_be_read(session, view, terms.get(view.id))]
        for view in readable:
            for output in _outputs(view, terms.get(view.id), is_ascending):
                place = _place_of_output(view, output.kind)
                if after is None or (place > after if is_ascending else place < after):
                    yield Listed(place, view.total, output.out)
        if len(views) < AT_ONCE:
            return
        after = _place_of_output(views[-1], ERRORS if is_ascending else OUTPUT)
        last = (_time(after.microseconds), after.uid)


def _outputs(view: JobView, terms: FileBatch | None, is_ascending: bool) -> Iterator[Output]:
    for kind in (OUTPUT, ERRORS) if is_ascending else (ERRORS, OUTPUT):
        if wire.has(view, kind) and not wire.was_deleted(terms, kind):
            yield Output(view, terms, kind)


def _writer(file: File) -> Callable[[], Json]:
    return lambda: wire.file(file)


def _place_of_upload(uid: uuid.UUID) -> Place:
    return Place((uid.int >> 80) * MILLISECOND, False, uid)


def _place_of_output(view: JobView, kind: str) -> Place:
    assert view.ended_at is not None
    since = view.ended_at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return Place(since // dt.timedelta(microseconds=1), True, view.uid, kind == ERRORS)


def _beside(place: Place, is_ascending: bool) -> uuid.UUID:
    """An id behind which, in the order of uploads, those stand that come after `place`."""
    if not place.of_batch:
        return place.uid
    millisecond = min(place.microseconds // MILLISECOND, LATEST)
    return uuid.UUID(int=((millisecond + 1) << 80) - is_ascending)


def _time(microseconds: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)
