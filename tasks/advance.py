"""`advance` as a task, and the publishing of the chords that it decides on."""

import uuid
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import structlog
from celery import chord
from redis import Redis
from sqlalchemy.orm import Session

from app.core.limits.limiter import limiter
from app.core.pipeline import notifications, waiting_line, windows
from app.core.pipeline.scheduler import advance as decide
from app.core.pipeline.windows import Offer, Publication
from app.core.tracing import traces
from app.core.webhooks import outbox
from app.errors import LimiterAway
from config import settings
from models.job import Job, JobStatus
from models.session import after_commit, in_transaction, reading
from tasks import webhooks
from tasks.celery import app
from tasks.flower import words
from tasks.flower.words import Told

log = structlog.get_logger()

NAMED_WAIT = 5.0  # seconds; a group that is held for longer gets no new windows until then
INCARNATION = "penstock:incarnation"


@app.task(name="penstock.advance")
def advance(job_id: int) -> Told:
    return Told(offer(job_id))


def run(job_id: int) -> list[Publication]:
    """Decide what is next for the job, commit, then publish; returns what was published."""
    return offer(job_id).published


class Offered(NamedTuple):
    """What was published of what a job has to offer, and whether there were no threads for the rest."""

    published: list[Publication]
    waits: bool
    status: str | None = None  # of the job; None: it is gone

    def __str__(self) -> str:
        parts = [f"next: {one.records}, in slices: {one.slices:,}" for one in self.published]
        parts += ["waits for threads"] if self.waits else []
        if not parts:
            goes_on = self.status in (JobStatus.PENDING, JobStatus.RUNNING)
            parts = ["nothing to offer now" if goes_on else self.status or "the job is gone"]
        return "; ".join(parts)


def offer(job_id: int, *, in_line: bool = False) -> Offered:
    """Run the job's `advance`, and publish what there are threads for; the rest waits in the line.

    `in_line`: the job is the next of those that wait.
    """
    held_for, call_seconds = _state_of_group(job_id)
    offers, status = in_transaction(
        partial(_decide, job_id=job_id, held_for=held_for, call_seconds=call_seconds)
    )
    notifications.publish([job_id])
    published: list[Publication] = []
    for at, next_offer in enumerate(offers):
        granted = limiter().threads.take(next_offer.wish, in_line=in_line)
        if not granted.slices:
            in_transaction(partial(waiting_line.put_off, offers=offers[at:]))
            return Offered(published, waits=True, status=status)
        published.append(next_offer.granted(granted))
        publish(published[-1])
    if in_line and offers:
        in_transaction(partial(waiting_line.leave, job_id=job_id))
    return Offered(published, waits=False, status=status)


def _decide(
    session: Session, job_id: int, held_for: float, call_seconds: float
) -> tuple[list[Offer], str | None]:
    """What comes next for the job, and its status; what is to be sent of its end is sent after the commit."""
    offers = decide(session, job_id, held_for, call_seconds)
    if outbox.is_filled(session):
        after_commit(session, webhooks.request_if_reachable)
    job = session.get(Job, job_id)  # of the session, which has read it
    return offers, None if job is None else job.status


def publish(publication: Publication) -> None:
    """Send a window's chord and mark it published; until then the sweep takes it for lost."""
    window = (publication.window_id, publication.epoch)
    with traces.open_window(
        publication.job, window, publication.slices, linked_to=publication.traceparent
    ) as traced:
        mark = _send(publication, window, traced)
    in_transaction(partial(windows.mark_published, publication=publication, incarnation=mark))


def _send(publication: Publication, args: tuple[int, int], traced: Mapping[str, Any]) -> str:
    """Send its messages, `traced` among their options; returns the broker's incarnation before."""
    label = words.window(publication)
    header = [
        app.signature("penstock.slice", (*args, publication.quota)).set(
            argsrepr=f"{label} · slice {number + 1}/{publication.slices}", **traced
        )
        for number in range(publication.slices)
    ]
    body = app.signature("penstock.close_window", args, immutable=True).set(argsrepr=label, **traced)
    mark = incarnation()
    if publication.attended:
        header[0].apply_async(link=body)
    else:
        chord(header)(body)
    return mark


def incarnation() -> str:
    """A mark in the broker's own store: when it differs, the broker has come back without its queues.

    RabbitMQ's queues are durable: it has one incarnation.
    """
    url = settings.current().broker_url
    if not url.startswith("redis"):
        return "durable"
    found = _broker(url).get(INCARNATION)
    if found is None:
        _broker(url).set(INCARNATION, uuid.uuid4().hex, nx=True)
        found = _broker(url).get(INCARNATION)
    return str(found)


@lru_cache(maxsize=4)
def _broker(url: str) -> Redis:
    """Connecting takes longer than asking."""
    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1, decode_responses=True)


def _state_of_group(job_id: int) -> tuple[float, float]:
    """Seconds until the job's limit group may be tried, 0 when that is soon, and those that its calls take.

    With Redis away every group is held.
    """
    with reading() as session:
        job = session.get(Job, job_id)
    if job is None:
        return 0, 0
    try:
        held, call_seconds = limiter().held(job.limit_group), limiter().call_seconds(job.limit_group)
    except LimiterAway:
        return 1.0, 0
    return (held[0] if held and held[0] > NAMED_WAIT else 0), call_seconds
