"""The tick and the sweep: they find, by state, what a crash or a lost message left behind."""

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

from app.core.accounts import browser_sessions
from app.core.documents import files, handoff, job_drafts
from app.core.limits import holds
from app.core.limits.limiter import limiter
from app.core.measures import metrics
from app.core.measures.counts import counts
from app.core.outages import servers
from app.core.pipeline import (
    leases,
    lookup,
    object_removal,
    recovery,
    retention,
    waiting_line,
    wakeups,
    windows,
)
from app.core.pipeline.retention import Chunk
from app.core.pipeline.sweeping import lost_windows, stalled, sweep_owner
from app.core.timeline.watch import any_watched
from app.core.webhooks import deliveries, outbox
from app.errors import LimiterAway, Unavailable
from models.session import in_transaction, reading
from tasks import line, watch, webhooks
from tasks.advance import incarnation, run
from tasks.celery import app
from tasks.flower.words import Told
from tasks.handoff import hand_over

log = structlog.get_logger()

CHUNKS = 20  # transactions of each kind in one sweep
CLEAR = 30.0  # seconds between two removals of what is no longer needed
CHECK_FOR_STUCK = 60.0  # seconds between two checks for jobs that nobody advances
LOG_AGAIN = 300.0  # seconds until a job that is still stuck is logged again

_TO_DO = select(
    leases.any_to_look_at,
    wakeups.any_due,
    handoff.any_offered,
    waiting_line.any_waiting,
    outbox.any_due,
    any_watched,
)

ADVANCED = "advanced_jobs"  # a job whose time has come is no news: mostly the tick advances it

_checked_at = float("-inf")  # for stuck jobs
_cleared_at = float("-inf")
_logged: dict[int, float] = {}  # stuck jobs of the last check -> when they were logged


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that the sweep found and dealt with, as the log and `penstock sweep` report it.

    `what` is its name in the log's sums, `why` a sentence; `count` is of records, rows or keys.
    """

    what: str
    why: str
    job_id: int | None = None
    count: int = 1


@app.task(name="penstock.tick", send_events=False)  # sent by a beat of the previous release
def tick() -> None:
    """Send webhooks, look at the leases, advance what is due, hand stored documents over, serve the line.

    Last of all it looks where the time of jobs goes. One query finds out whether there is anything to do:
    mostly there is not.
    """
    with reading() as session:
        row = session.execute(_TO_DO).one()
    leases_wait, jobs_wait, documents_wait, any_in_line, webhooks_wait, any_goes_on = row
    if webhooks_wait:
        webhooks.wake()
    if leases_wait:
        find_dead()
    if jobs_wait:
        advance_due()
    if documents_wait:
        hand_over()
    if any_in_line:
        line.serve()
    if any_goes_on:
        watch.look()


@app.task(name="penstock.sweep", send_events=False)
def sweep() -> Told:
    if not in_transaction(sweep_owner.by_beat):
        return Told("another sweep has just run")
    return Told(", ".join(f"{count:,} {what}" for what, count in sweep_and_log().items()) or "nothing found")


def sweep_and_log() -> Counter[str]:
    """Sweep once and log what was found, and now and then the jobs that nobody advances; returns the sums."""
    global _cleared_at  # noqa: PLW0603 - one beat a process
    found = repair()
    if time.monotonic() - _cleared_at >= CLEAR:
        _cleared_at = time.monotonic()
        found += clear_away()
    sums: Counter[str] = Counter()
    for one in found:
        sums[one.what] += one.count
    if repaired := {what: count for what, count in sums.items() if what != ADVANCED}:
        log.info("sweep.found", **repaired)
    if time.monotonic() - _checked_at >= CHECK_FOR_STUCK:
        log_stuck()
    return sums


def sweep_once() -> list[Found]:
    """Repair and clear away everything once; returns what was found."""
    return [*repair(), *clear_away()]


def repair() -> list[Found]:
    """Repair what a crash left behind, and write the records of closed jobs.

    The tick's work is included, as its thread may hang.
    """
    holds.restore_all()
    return [
        *find_dead(),
        *_give_back_overdue(),
        *_offer_lost_windows(),
        *_free_lost_threads(),
        *_in_chunks("closed_records", "updated: the job was closed before they were sent", retention.settle),
        *advance_due(),
    ]


def clear_away() -> list[Found]:
    """Remove what is no longer needed."""
    return [
        *_in_chunks("staging_rows", "removed: the upload was interrupted", retention.drop_staging),
        *_remove_blobs(),
        *_remove_drafts(),
        *_remove_files(),
        *_in_chunks(
            "removed_rows", "of content removed: the job is deleted or old", retention.remove_content
        ),
        *_forget_keys(),
        *_forget_sessions(),
        *_forget_deliveries(),
    ]


def sweep_by_hand() -> Iterator[Found]:
    """Sweep until each worker process has raised its counter or is found dead: three seconds, or twelve.

    Where the tick runs, it has taken most looks at the leases already; without it they take their time.
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
    """Look at the leases once, and give back what dead ones held."""
    found = in_transaction(_end_dead_leases)
    counts.add(metrics.RECOVERED_LEASES, by=sum(one.what == "dead_workers" for one in found))
    for one in found:
        if one.what == "records_of_the_dead":
            counts.add(metrics.RECOVERED_RECORDS, by=one.count)
        held = {} if one.job_id is None else {"job": lookup.public_id(one.job_id), "records": one.count}
        log.warning("lease.dead", **held, why=one.why)
    return found


def advance_due() -> list[Found]:
    """Advance the jobs that are due; one whose window cannot be published now will be due again."""
    with reading() as session:
        due = wakeups.due(session)
    found = []
    for job_id in due:
        try:
            offered = run(job_id)
        except (BrokerError, LimiterAway, RedisError, OSError) as error:
            servers.tell(error, "advance")
            break
        except (OperationalError, InterfaceError):  # the database is away, for every job
            raise
        except Exception:  # one bad job must not keep the others waiting
            log.exception("job.not_advanced", job=lookup.public_id(job_id))
            continue
        found.append(Found(ADVANCED, _what_followed(offered), job_id))
    return found


def log_stuck() -> list[stalled.Stuck]:
    """Log each job that nobody advances, and again every few minutes for as long as it stays so."""
    global _checked_at  # noqa: PLW0603 - one beat a process
    _checked_at = time.monotonic()
    with reading() as session:
        found = stalled.find(session)
    for recovered in _logged.keys() - {job.job_id for job in found}:
        del _logged[recovered]
    for job in found:
        if _checked_at - _logged.get(job.job_id, float("-inf")) >= LOG_AGAIN:
            _logged[job.job_id] = _checked_at
            log.error("job.stuck", job=str(job.uid), why=job.why)
    return found


def _counters() -> dict[int, int]:
    with reading() as session:
        return leases.counters(session)


def _end_dead_leases(session: Session) -> list[Found]:
    found = []
    for dead in recovery.look_for_dead(session):
        what = "dead_uploads" if dead.name.startswith(leases.UPLOAD) else "dead_workers"
        why = f"the process {dead.name} is dead: its counter did not change over four checks"
        found.append(Found(what, why))
        for job, count in dead.held.items():
            why = f"{_rows(count, 'record')} given back: the dead process {dead.name} held them"
            found.append(Found("records_of_the_dead", why, job, count))
    return found


def _give_back_overdue() -> Iterator[Found]:
    for job_id, count in recovery.give_back_overdue().items():
        why = f"{_rows(count, 'record')} given back: a live process held them longer than any call may last"
        yield Found("overdue_records", why, job_id, count)


def _offer_lost_windows() -> list[Found]:
    with reading() as session:
        if not lost_windows.any_offered(session):
            return []
    try:
        mark, empty = incarnation(), _queue_is_empty()
    except (BrokerError, RedisError, OSError) as error:  # nothing can be published anyway
        why = f"lost windows were not checked: the broker does not answer ({type(error).__name__})"
        return [Found("broker_away", why)]
    lost = in_transaction(partial(lost_windows.find, incarnation=mark, queue_empty=empty))
    counts.add(metrics.LOST_WINDOWS, by=len(lost))
    for window in lost:
        job = lookup.public_id(window.job_id)
        log.warning("window.lost", job=job, records=window.records, why=window.why)
    for job_id in {window.job_id for window in lost}:
        run(job_id)
    return [
        Found(
            "lost_windows",
            f"its window ({window.records}) was lost and is offered again: {window.why}",
            window.job_id,
        )
        for window in lost
    ]


def _free_lost_threads() -> list[Found]:
    """Stop counting the slices of killed workers and lost messages."""
    try:
        held = limiter().threads.held().windows
        empty = bool(held) and _queue_is_empty()
    except (LimiterAway, BrokerError, RedisError, OSError):
        return []
    with reading() as session:
        lost = lost_windows.held_in_vain(session, held, empty) if held else []
        jobs = windows.jobs_of(session, [window_id for window_id, _ in lost])
    for window_id, epoch in lost:
        limiter().threads.give_back(window_id, epoch, slices=0)
    return [
        Found(
            "lost_slices",
            "slices were counted as at work on a window of its records, which no worker serves",
            jobs.get(window_id),
        )
        for window_id, _ in lost
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
        why = f"{_rows(forgotten, 'Idempotency-Key')} from yesterday removed"
        yield Found("forgotten_keys", why, count=forgotten)


def _forget_sessions() -> Iterator[Found]:
    if forgotten := in_transaction(browser_sessions.forget):
        why = f"{_rows(forgotten, 'expired session')} of a browser removed"
        yield Found("forgotten_sessions", why, count=forgotten)


def _forget_deliveries() -> Iterator[Found]:
    forgotten = 0
    for _ in range(CHUNKS):
        removed = in_transaction(deliveries.forget)
        forgotten += removed
        if not removed:
            break
    if forgotten:
        yield Found(
            "forgotten_deliveries", f"{_rows(forgotten, 'old webhook delivery')} removed", count=forgotten
        )


def _remove_blobs() -> Iterator[Found]:
    """Remove objects from the store, before the rows that name them."""
    counts: Counter[int | None] = Counter()
    try:
        for _ in range(CHUNKS):
            removed = object_removal.remove_chunk()
            if removed is None:
                break
            counts[removed.job_id] += removed.objects
    except Unavailable as error:
        yield Found("store_away", f"objects were not removed: {error.message}")
    for job_id, count in counts.items():
        why = "its request did not become a job" if job_id is None else "the job is deleted or old"
        yield Found(
            "removed_objects", f"{_rows(count, 'object')} removed from the store: {why}", job_id, count
        )


def _remove_drafts() -> Iterator[Found]:
    """Remove what was dropped on the page and never submitted; its files have expired with it."""
    if removed := job_drafts.remove_due():
        yield Found("removed_drafts", f"{_rows(removed, 'draft')} removed: left alone", count=removed)


def _remove_files() -> Iterator[Found]:
    """Remove uploaded files that have expired, were deleted, or never arrived whole."""
    try:
        removed = files.remove_due()
    except Unavailable as error:
        yield Found("store_away", f"files were not removed: {error.message}")
        return
    if removed:
        yield Found("removed_files", f"{_rows(removed, 'file')} removed: expired or deleted", count=removed)


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
        return "it was due for an advance; there was nothing to offer"
    return f"it was due for an advance; offered: {', '.join(publication.records for publication in offered)}"
