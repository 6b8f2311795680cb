"""Pauses that Penstock decides on: a job has no money left, asks in vain, or has records that all fail."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.money import caps, pricing
from app.core.pipeline import lifecycle
from app.core.requests import job_context
from app.core.timeline import states
from models.job import JobStatus
from models.record import RecordOutput


def pause_if_spent(session: Session, job_id: int, needs: int) -> bool:
    """Pause a job whose next call does not fit under its caps, once no call in flight can free money."""
    job = lifecycle.lock(session, job_id)
    if job is None or job.status != JobStatus.RUNNING:
        return False
    limits = caps.caps_of(session, job_id)
    if limits is None:
        return False
    room = caps.find_room(session, limits, lock=False)  # windows, which a pause locks, come before these rows
    if room.reserved or lifecycle.running_count(session, job_id):
        return False
    if needs == caps.NO_BOUND:
        why = job_context.of(job_id).unbounded
        reason = f"A cap is set, but a call of the job has no maximum cost: {why}."
        lifecycle.pause_because(session, job, reason, waits_for=states.CAP)
        return True
    if needs <= room.left:
        return False
    lifecycle.pause_because(
        session,
        job,
        f"The next call may cost ${pricing.dollars(needs)}; of the cap of ${pricing.dollars(room.cap)},"
        f" ${pricing.dollars(room.spent)} is spent or unconfirmed."
        f" Raise {room.raise_it} and resume the job, or submit it with a lower max_tokens: the most that a"
        " call may cost depends on that.",
        waits_for=states.CAP,
    )
    return True


def pause_in_vain(session: Session, job_id: int, reason: str) -> bool:
    """Pause a running job whose calls all meet one fault, named by `reason`, that only a person can mend."""
    job = lifecycle.lock(session, job_id)
    if job is None or job.status != JobStatus.RUNNING:
        return False
    lifecycle.pause_because(session, job, f"{reason}. Then resume the job: it tries one call first.")
    return True


def pause_if_hopeless(session: Session, job_id: int) -> bool:
    """Pause a running job whose first records all failed with the same error."""
    job = lifecycle.lock(session, job_id)
    if job is None or job.status != JobStatus.RUNNING:
        return False
    kinds = session.execute(
        select(RecordOutput.error_type, func.count())
        .where(RecordOutput.job_id == job_id)
        .group_by(RecordOutput.error_type)
        .limit(2)
    ).all()
    if len(kinds) != 1 or kinds[0][0] is None:
        return False
    kind, count = kinds[0]
    lifecycle.pause_because(
        session,
        job,
        f"Its first {count} records all failed with {kind!r}; see their errors. Resume continues regardless.",
    )
    return True
