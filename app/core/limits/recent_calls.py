"""The calls of a group's last minute, from the rows: what a limiter that comes back empty has forgotten."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Executable, func, literal, select

from app.core.limits.first_guess import BYTES_PER_TOKEN, OUTPUT_SHARE
from app.errors import Booking
from app.providers import registry
from models.base import epoch, now
from models.job import LIVE, Job, JobSpec
from models.record import Attempt, Record, RecordStatus
from models.session import reading
from models.tenant import Tenant

SPAN = 62.0  # seconds: a window, and what may pass between a permit and the call's first byte
MOMENT = 0.5  # seconds that are told as one


@dataclass(frozen=True, slots=True)
class Moment:
    """What calls took that left `age` seconds ago, or up to `MOMENT` earlier."""

    age: float
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


def recall(group: str) -> list[Moment]:
    """What the group's calls took in the last minute, oldest first; those in flight as estimated.

    Raises `SQLAlchemyError`.
    """
    moments: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for model, age, *tokens in _calls(group):
        if registry.find(model) is not None and registry.limit_group(model) == group:
            moment = moments[math.floor(max(0.0, age) / MOMENT)]
            for place, taken in enumerate((1, *_counted(group, *map(round, tokens)))):
                moment[place] += taken
    return [Moment(number * MOMENT, *taken) for number, taken in sorted(moments.items(), reverse=True)]


def _counted(group: str, read: int, written: int, output: int) -> tuple[int, int]:
    """Input and output tokens that count toward the group's limits; `read` are those from a cache."""
    if registry.counts_tokens_together(group):
        return read + written + output, output
    return written + (read if registry.cache_reads_count(group) else 0), output


def _calls(group: str) -> Iterable[tuple[str, float, float, float, float]]:
    """Model, age, and tokens of each call that left lately: read from a cache, other input, output."""
    with reading() as session:
        for statement in (_ended(), _in_flight(group)):
            for row in session.execute(statement):
                yield row.model, row.age, row.read, row.input_tokens, row.output_tokens


def _ended() -> Executable:
    left = func.coalesce(Attempt.started_at, Attempt.ended_at)
    return select(
        Attempt.model,
        (epoch(now()) - epoch(left)).label("age"),
        Attempt.cache_read_tokens.label("read"),
        (Attempt.input_tokens + Attempt.cache_write_tokens).label("input_tokens"),
        Attempt.output_tokens,
    ).where(
        Attempt.tenant_id.in_(select(Tenant.id)),  # for the index, which begins with the tenant
        Attempt.ended_at > now(-SPAN),
        left > now(-SPAN),
        Attempt.outcome != Booking.UNSENT.value,
    )


def _in_flight(group: str) -> Executable:
    return (
        select(
            Job.model,
            (epoch(now()) - epoch(Record.claimed_at)).label("age"),
            literal(0).label("read"),
            (Record.request_bytes / BYTES_PER_TOKEN).label("input_tokens"),
            (func.coalesce(Record.max_tokens, JobSpec.max_tokens) * OUTPUT_SHARE).label("output_tokens"),
        )
        .join(JobSpec, JobSpec.job_id == Job.id)
        .join(Record, Record.job_id == Job.id)
        .where(
            Job.status.in_(LIVE),
            Job.limit_group == group,
            Record.status == RecordStatus.RUNNING,
            Record.claimed_at > now(-SPAN),
        )
    )
