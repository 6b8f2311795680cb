"""One call whose caller waits for the answer: a job of one record, whose answer comes by the relay.

It has its place in the limits, the ledger and the caps like every other job. What the relay loses of a whole
answer is read from its row.
"""

import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from app.core.limits import obstacle
from app.core.limits.limiter import limiter
from app.core.limits.obstacle import Obstacle
from app.core.pipeline import lifecycle
from app.core.relay import frames
from app.core.relay.frames import LAST, Frame, Kind, Reader
from app.errors import (
    ClientGone,
    Conflict,
    LimiterAway,
    NotFound,
    ProviderError,
    TooMany,
    Unanswered,
    Unavailable,
)
from app.ingest.draft import Defaults, Draft
from app.providers import registry
from app.services import submission
from app.services.job_actions import act
from app.services.options import Options
from app.services.submission import Submitted
from config import settings
from models.job import FINAL, STREAM, WHOLE, Job, JobStatus
from models.record import RecordOutput
from models.session import reading

Frames = Generator[Frame, None, None]

PRIORITY = 10
STARTS_WITHIN = 60.0  # seconds in which a permit must come; then the caller is told to come again
LOOK = 0.5  # seconds without a frame after which the client, the job and the worker are looked at
DEAD = 8.0  # seconds without a heartbeat, which comes every two, after which a worker is taken for dead
SPARE = 30.0  # seconds beyond a call's deadline, for its way here
COME_AGAIN = 30  # seconds at most that a refused caller is told to wait
NAMED_WAIT = 5.0  # seconds; a group that is held for longer takes no calls that somebody waits for


def check(model: str) -> None:
    """Refuse what could not be asked soon, before anything is stored.

    Raises `Unavailable` without Redis and where the provider refuses our account, `TooMany` where it wants
    to be left alone.
    """
    try:
        hold = limiter().held(registry.limit_group(model))
    except LimiterAway:
        raise Unavailable(
            "Redis is not responding, and without it no call is made: try again shortly", retry_after=2
        ) from None
    if hold is None or hold.seconds <= NAMED_WAIT:
        return
    why = Obstacle.from_json(hold.detail)
    message = f"no calls of {model} are made now: {hold.reason if why is None else why.message}"
    kind = Unavailable if obstacle.is_mendable(hold) else TooMany
    raise kind(message, retry_after=_again_in(hold.seconds))


def submit(tenant_id: int, user_id: int, draft: Draft, defaults: Defaults, *, streamed: bool) -> "Attended":
    """Store the call and wake the workers; see `submission.submit` for what is raised."""
    options = Options(
        priority=PRIORITY,
        retries=0,
        expires_in=round(STARTS_WITHIN + settings.current().call_deadline + SPARE),
        attended=STREAM if streamed else WHOLE,
    )
    made = submission.submit_drafts(tenant_id, user_id, [draft], defaults, options)
    return Attended(tenant_id, made, streamed)


@dataclass
class Attended:
    """A call that was submitted, and what has been seen of it."""

    tenant_id: int
    job: Submitted
    streamed: bool
    began: float = field(default_factory=time.monotonic)
    asked_by: int | None = None  # the lease of the process that makes the call, once it has left
    _frames: int = 0  # that were read
    _is_over: bool = False

    def frames(self, has_gone: Callable[[], bool]) -> Frames:
        """What comes of the call, up to its answer or failure.

        Raises `ClientGone` when `has_gone` says so, `TooMany` when it got no permit, `Unanswered` when there
        will be no answer, `Unavailable` when a stream is lost with Redis. A call that has not left then never
        does; one that has left is written down when it ends, whoever waits.
        """
        reader = Reader(self.job.id)
        try:
            while True:
                frames = self._next(reader)
                for frame in frames:
                    yield self._seen(frame)
                    if self._is_over:
                        return
                if not frames and (answer := self._without_news(has_gone)) is not None:
                    yield answer
                    return
        finally:
            self._leave(reader)

    def _next(self, reader: Reader) -> list[Frame]:
        try:
            return reader.next(LOOK)
        except LimiterAway:
            if self.streamed and self.asked_by is not None:
                raise Unavailable("the answer was lost on its way: Redis stopped responding") from None
            time.sleep(LOOK)  # the answer will be in its row
            return []

    def _seen(self, frame: Frame) -> Frame:
        if self.streamed and frame.number != self._frames and frame.kind is not Kind.FAILED:
            raise Unanswered("parts of the answer were lost: they were read too slowly")
        self._frames, self._is_over = frame.number + 1, frame.kind in LAST
        if frame.kind is Kind.SENT:
            self.asked_by = int(frame.data)
        return frame

    def _without_news(self, has_gone: Callable[[], bool]) -> Frame | None:
        """Look why nothing comes; returns the answer if its row has it, and the relay has not."""
        if has_gone():
            raise ClientGone("the client closed its connection before the answer came")
        with reading() as session:
            job = session.get_one(Job, self.job.id)
        waited = time.monotonic() - self.began
        if job.status in FINAL:
            return self._answer(job)
        if self.asked_by is None:
            self._refuse_waiting(job, waited)
        elif self.streamed and _is_dead(self.asked_by):
            raise Unanswered("the process that passed the answer on has ended: ask again")
        if waited > STARTS_WITHIN + settings.current().call_deadline + SPARE:
            raise Unanswered("no answer came in time")
        return None

    def _refuse_waiting(self, job: Job, waited: float) -> None:
        if job.status == JobStatus.PAUSED:
            raise Unavailable(job.status_reason or "the call is paused")
        check(job.model)  # its group may have been held since
        if waited > STARTS_WITHIN:
            raise TooMany(
                f"no permit for a call of {job.model} in {STARTS_WITHIN:.0f} s: its limits are used up",
                retry_after=COME_AGAIN,
            )

    def _answer(self, job: Job) -> Frame:
        """The answer in its row, for a caller whom it did not reach otherwise."""
        with reading() as session:
            output = session.scalar(select(RecordOutput).where(RecordOutput.job_id == job.id))
        if output is None or self.streamed or output.error_type is not None:
            raise Unanswered(job.status_reason or _why(output) or f"the call was {job.status}")
        return Frame(Kind.WHOLE, output.body or b"", self._frames)

    def _leave(self, reader: Reader) -> None:
        """Nobody waits any more: a call that has not left is cancelled, and what was passed on is removed."""
        if self.asked_by is None and not self._is_over:
            try:
                act(self.tenant_id, str(self.job.uid), lifecycle.cancel)
            except (Conflict, NotFound):
                pass  # it has ended
        try:
            reader.drop()
        except LimiterAway:
            pass  # it is gone some minutes later


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer: the status, and the JSON of a provider's refusal if it sent one."""

    status: int
    type: str
    message: str
    body: Mapping[str, Any] | None
    retry_after: int | None

    @classmethod
    def of(cls, frame: Frame) -> "Failure":
        facts = json.loads(frame.data)
        pause = facts["retry_after"]
        return cls(
            status=facts["status"],
            type=facts["type"] or "error",
            message=facts["message"] or "the call failed",
            body=facts["body"],
            retry_after=None if pause is None else _again_in(pause),
        )

    @classmethod
    def of_error(cls, error: ProviderError) -> "Failure":
        body = error.body if isinstance(error.body, Mapping) else None
        pause = None if error.retry_after is None else _again_in(error.retry_after)
        return cls(error.shown_as, error.type, error.message, body, pause)


def _why(output: RecordOutput | None) -> str | None:
    return None if output is None or output.error_message is None else output.error_message.decode()


def _again_in(seconds: float) -> int:
    return max(1, min(COME_AGAIN, round(seconds)))


def _is_dead(lease_id: int) -> bool:
    try:
        return frames.silence(lease_id) > DEAD
    except LimiterAway:
        return False
