"""Following a job to its end."""

import json
import time
from collections.abc import Iterator
from http import HTTPStatus

from httpx2 import ServerSentEvent

from app.cli import words
from app.cli.client import Job, Rest
from app.cli.patience import Patience, obstacle_of
from app.cli.views import View
from app.errors import StackGone, StackRefused, StackUnreachable

LOOK = 1.0  # seconds between two requests where there is no event stream
AWAY = 20.0  # seconds without a response after which the stack counts as gone


def follow(rest: Rest, job: Job, view: View, patience: Patience) -> Job:
    """Show `job` until it has ended, is paused or gets no answers; returns its last state.

    Raises `StackGone`.
    """
    last_id: str | None = None
    heard = time.monotonic()
    while _goes_on(job) and not patience.is_over(job):
        view.show(job)
        try:
            for event in () if obstacle_of(job) else _events(rest, job["id"], last_id):
                last_id = event.id or last_id
                job = _told(job, event.data)
                heard = time.monotonic()
                view.show(job)
                if not _goes_on(job) or obstacle_of(job):
                    break  # of a paused or hindered job the stream may be silent for an hour
            job = rest.job(job["id"])
            heard = time.monotonic()
        except StackUnreachable as error:
            if time.monotonic() - heard > AWAY:
                raise StackGone(str(error)) from error
        patience.see(job)
        if _goes_on(job):
            time.sleep(LOOK)
    view.show(job)
    return job


def calls_ended(rest: Rest, job_id: str, within: float) -> Job:
    """A paused job when none of its calls is under way, or after `within` seconds."""
    ends = time.monotonic() + within
    while (job := rest.job(job_id))["counts"]["running"] and time.monotonic() < ends:
        time.sleep(LOOK / 4)
    return job


def _events(rest: Rest, job_id: str, last_id: str | None) -> Iterator[ServerSentEvent]:
    """The event stream, or none where the stack has no thread left for another."""
    try:
        yield from rest.events(job_id, last_id)
    except StackRefused as refusal:
        if refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise


def _goes_on(job: Job) -> bool:
    return not words.is_over(job) and job["status"] != "paused"


def _told(job: Job, data: str) -> Job:
    """The job, updated by an event."""
    try:
        news = json.loads(data)
    except ValueError:
        return job
    return job | {name: value for name, value in news.items() if name in job}
