"""The tick and the sweep: what finds, by state, whatever a crash or a lost message left behind."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import structlog
from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError
from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from app.core.documents import handoff
from app.core.pipeline import (
    leases,
    object_removal,
    recovery,
    retention,
    stalled,
    sweep_owner,
    wakeups,
    windows,
)
from app.core.pipeline.retention import Chunk
from app.errors import Unavailable
from models.session import in_transaction, reading
from tasks.advance import incarnation, run
from tasks.celery import app
from tasks.handoff import hand_over

log = structlog.get_logger()

CHUNKS = 20  # transactions of each kind in one sweep
CLEAR = 30.0  # seconds between two times that what nobody will see again is cleared away
LOOK_FOR_STUCK = 60.0  # seconds between two looks at which jobs nobody advances
SAY_AGAIN = 300.0  # seconds until a job that is still stuck is named again

_TO_DO = select(leases.any_to_look_at, wakeups.any_due, handoff.any_offered)

_looked_at = float("-inf")
_cleared_at = float("-inf")
_said: dict[int, float] = {}  # stuck jobs of the last look -> when they were named


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that the sweep found and mended, so that a person can be told which and why.

    `what` is the word of the log's sums, `why` a sentence; `count` is of records, rows or keys.
    """

    what: str
    why: str
    job_id: int | None = None
    count: int = 1


@app.task(name="penstock.tick")  # a beat of the release before this one sends it
def tick() -> None:
    """Look at the leases, advance the jobs whose time has come, hand stored documents over.

    One look tells whether there is anything to do: mostly there is not.
    """
    with reading() as session:
        leases_wait, jobs_wait, documents_wait = session.execute(_TO_DO).one()
    if leases_wait:
        find_dead()
    if jobs_wait:
        advance_due()
    if documents_wait:
        hand_over()


@app.task(name="penstock.sweep")
def sweep() -> None:
    in_transaction(sweep_owner.by_beat)
    sweep_and_tell()


def sweep_and_tell() -> None:
    """Sweep once; the log says what was found, and now and then which jobs nobody advances."""
    global _cleared_at  # noqa: PLW0603 - one beat a process
    found = mend()
    if time.monotonic() - _cleared_at >= CLEAR:
        _cleared_at = time.monotonic()
        found += clear_away()
    if found:
        sums: Counter[str] = Counter()
        for one in found:
            sums[one.what] += one.count
        log.info("sweep.found", **sums)
    if time.monotonic() - _looked_at >= LOOK_FOR_STUCK:
        name_stuck()


def sweep_once() -> list[Found]:
    """Everything that the sweep mends and clears away, once; returns what it found."""
    return [*mend(), *clear_away()]


def mend() -> list[Found]:
    """What a crash left behind, and records of closed jobs. Also what the tick does: its thread may hang."""
    return [
        *find_dead(),
        *_give_back_overdue(),
        *_offer_lost_windows(),
        *_in_chunks("closed_records", "written: the job was closed before they were asked", retention.settle),
        *advance_due(),
    ]


def clear_away() -> list[Found]:
    """What nobody will see again."""
    return [
        *_in_chunks("staging_rows", "removed: the upload was cut off", retention.drop_staging),
        *_remove_blobs(),
        *_in_chunks(
            "removed_rows", "of content removed: the job is deleted or old", retention.remove_content
        ),
        *_forget_keys(),
    ]


def sweep_by_hand() -> Iterator[Found]:
    """Sweep, and again until each worker process has raised its counter or is dead: three seconds, or twelve.

    Where the tick runs, it has the looks done; by hand they take their time.
    """
    still = _counters()
    yield from sweep_once()
    for _ in range(leases.STILL_LOOKS + 2):
        if not still:
            break
        time.sleep(leases.LOOK_EVERY)
        yield from sweep_once()
        seen = _counters()
        still = {lease: counter for lease, counter in still.items() if seen.get(lease) == counter}


def find_dead() -> list[Found]:
    """One look at the leases; what the dead ones held goes back."""
    found = in_transaction(_bury_dead)
    for one in found:
        log.warning("lease.dead", job=one.job_id, records=one.count, why=one.why)
    return found


def advance_due() -> list[Found]:
    """Advance the jobs whose time has come; one that cannot be published now has its time again."""
    with reading() as session:
        due = wakeups.due(session)
    found = []
    for job_id in due:
        try:
            offered = run(job_id)
        except (BrokerError, RedisError, OSError) as error:
            log.warning("broker.away", job=job_id, error=type(error).__name__)
            break
        except (OperationalError, InterfaceError):  # the database is away, for every job
            raise
        except Exception:  # one job's fault must not keep the others waiting
            log.exception("job.not_advanced", job=job_id)
            continue
        found.append(Found("advanced_jobs", _what_followed(offered), job_id))
    return found


def name_stuck() -> list[stalled.Stuck]:
    """Log each job that nobody advances, and again every few minutes for as long as it stays so."""
    global _looked_at  # noqa: PLW0603 - one beat a process
    _looked_at = time.monotonic()
    with reading() as session:
        found = stalled.find(session)
    for gone in _said.keys() - {job.job_id for job in found}:
        del _said[gone]
    for job in found:
        if _looked_at - _said.get(job.job_id, float("-inf")) >= SAY_AGAIN:
            _said[job.job_id] = _looked_at
            log.error("job.stuck", job=str(job.uid), why=job.why)
    return found


def _counters() -> dict[int, int]:
    with reading() as session:
        return leases.counters(session)


def _bury_dead(session: Session) -> list[Found]:
    found = []
    for dead in recovery.look_for_dead(session):
        why = f"the process {dead.name} (lease {dead.lease_id}) is dead: it raised no counter over four looks"
        found.append(Found("dead_workers", why))
        for job, count in dead.held.items():
            why = f"{_rows(count, 'record')} went back: the dead process {dead.name} held them"
            found.append(Found("records_of_the_dead", why, job, count))
    return found


def _give_back_overdue() -> Iterator[Found]:
    for job_id, count in recovery.give_back_overdue().items():
        why = (
            f"{_rows(count, 'record')} went back: held longer than any call may last, by a process that lives"
        )
        yield Found("overdue_records", why, job_id, count)


def _offer_lost_windows() -> list[Found]:
    with reading() as session:
        if not windows.any_offered(session):
            return []
    try:
        mark, empty = incarnation(), _queue_is_empty()
    except (BrokerError, RedisError, OSError) as error:  # nothing can be published anyway
        why = f"lost windows were not looked for: the broker does not answer ({type(error).__name__})"
        return [Found("broker_away", why)]
    lost = in_transaction(partial(windows.lost, incarnation=mark, queue_empty=empty))
    for window in lost:
        log.warning("window.lost", job=window.job_id, window=window.window_id, why=window.why)
    for job_id in {window.job_id for window in lost}:
        run(job_id)
    return [
        Found(
            "lost_windows",
            f"its window {window.window_id} was lost and is offered again: {window.why}",
            window.job_id,
        )
        for window in lost
    ]


def _queue_is_empty() -> bool:
    with app.connection_for_read() as connection:
        try:
            found = connection.default_channel.queue_declare("slices", passive=True)
        except connection.channel_errors:
            return True  # Redis forgets an empty list
        return bool(found.message_count == 0)


def _forget_keys() -> Iterator[Found]:
    if forgotten := in_transaction(retention.forget_keys):
        why = f"{_rows(forgotten, 'Idempotency-Key')} of yesterday forgotten"
        yield Found("forgotten_keys", why, count=forgotten)


def _remove_blobs() -> Iterator[Found]:
    """Before the rows that know of them."""
    counts: Counter[int | None] = Counter()
    try:
        for _ in range(CHUNKS):
            removed = object_removal.remove_some()
            if removed is None:
                break
            counts[removed.job_id] += removed.objects
    except Unavailable as error:
        yield Found("store_away", f"objects that are to go were left: {error.message}")
    for job_id, count in counts.items():
        whose = "its request became no job" if job_id is None else "the job is deleted or old"
        yield Found(
            "removed_objects", f"{_rows(count, 'object')} removed from the store: {whose}", job_id, count
        )


def _in_chunks(what: str, why: str, work: Callable[[Session], Chunk | None]) -> Iterator[Found]:
    """Run `work` until it finds nothing, but leave the rest of a very large one to the next sweep."""
    rows: Counter[int] = Counter()
    for _ in range(CHUNKS):
        done = in_transaction(work)
        if done is None:
            break
        rows[done.job_id] += done.rows
    for job_id, count in rows.items():
        yield Found(what, f"{_rows(count, 'row')} {why}", job_id, count)


def _rows(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _what_followed(offered: list[windows.Publication]) -> str:
    if not offered:
        return "it was due to be looked at; there was nothing to offer"
    names = ", ".join(f"{publication.window_id}.{publication.epoch}" for publication in offered)
    return f"it was due to be looked at; offered: window {names}"
