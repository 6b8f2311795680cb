"""What limits a job now, in a sentence, with the figure that would lift it where that can be computed."""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.core.limits import allowances
from app.core.limits.allowances import ASSUMED, CONFIGURED, LEARNED, SET
from app.core.money import pricing
from app.core.pipeline import leases
from app.core.reading import forecast
from app.core.reading.forecast import Outlook
from app.core.reading.job_json import REDIS_AWAY, WORKERS, Limited
from app.core.reading.jobs import JobView
from app.core.timeline import states
from app.providers import registry
from config import settings
from models.job import Job, JobStatus

UNITS = {
    states.REQUESTS: "requests",
    states.INPUT_TOKENS: "input tokens",
    states.OUTPUT_TOKENS: "output tokens",
}
SOURCES = {
    SET: "set here by an operator",
    CONFIGURED: "from the configuration",
    LEARNED: "as the provider's answers say",
    ASSUMED: "assumed until the provider says otherwise",
}
_BOUNDS = UNITS | {"concurrency": "its calls in flight", "workers": "the workers"}
A_MINUTE = 60.0
_FIXED = {
    states.STORAGE: "Answers wait for the database: look at its disk and its load.",
    REDIS_AWAY: "Redis does not answer, and without it no call may leave: see `penstock doctor`.",
}


@dataclass(frozen=True, slots=True)
class Lift:
    """`message`: what limits the job and what would lift it; `group`: the limit group whose figure it is."""

    message: str
    group: str | None = None


def find(session: Session, view: JobView, limited: Limited) -> Lift | None:
    """None of a job that has ended or is being ended."""
    if view.status in (JobStatus.PENDING, JobStatus.RUNNING) and view.counts.unended:
        return _of_word(session, view, limited)
    if view.status != JobStatus.PAUSED:
        return None
    cap = _enough_of_a_cap(view)
    return Lift(f"{view.status_reason or 'It is paused.'} {cap}".strip())


def _of_word(session: Session, view: JobView, limited: Limited) -> Lift:
    word, _, told = (limited.word or "").partition(":")
    if limited.detail is not None:
        return Lift(f"{limited.detail['message']}.", registry.limit_group(view.model))
    if word in UNITS:
        return _of_rate(session, view, word)
    if word == states.CONCURRENCY:
        return _of_seats(session, view, told.strip())
    if word == states.CAP:
        return Lift(f"The next call does not fit under a cost cap. {_enough_of_a_cap(view)}".strip())
    if word == WORKERS:
        return _of_workers(session)
    if word:
        return Lift(_FIXED.get(word, f"{limited.word}."))
    return _of_nothing(view)


def _of_rate(session: Session, view: JobView, word: str) -> Lift:
    group = registry.limit_group(view.model)
    allowance = allowances.read(session, group)
    figure = getattr(allowance.limits, word)
    if figure is None:
        return Lift(f"It waits for {UNITS[word]} of the group {group}.", group)
    source = SOURCES[allowance.sources[word]]
    now = f"The group {group} may take {figure:,} {UNITS[word]} a minute ({source})"
    return Lift(f"{now}{_promise(forecast.outlook(session, view), word, figure)}.", group)


def _promise(outlook: Outlook, word: str, figure: int) -> str:
    """What brings the job up to the bound that comes next; nothing if that is tighter, or a minute does."""
    others = {name: seconds for name, seconds in outlook.waits.items() if name != word}
    following = max(others, key=lambda name: others[name])
    seconds = max(others[following], A_MINUTE)  # what a limit allows in a minute may leave at once
    enough = math.ceil(figure * outlook.waits[word] / seconds)
    if enough <= figure:
        return ""
    end = outlook.now + dt.timedelta(seconds=seconds + outlook.call_seconds)
    instead = f", then limited by {_BOUNDS[following]}" if others[following] >= A_MINUTE else ""
    return f"; at {enough:,} a minute the job would end about {_time(end, outlook.now)}{instead}"


def _of_seats(session: Session, view: JobView, told: str) -> Lift:
    job = session.get_one(Job, view.id)
    group = job.limit_group
    allowance = allowances.read(session, group)
    bounds: Mapping[str, int | None] = {
        "the job's own bound": job.max_concurrent,
        "BATCH_MAX_CONCURRENT_LLM_CALLS": registry.max_concurrent_calls(group, settings.current()),
        f"what the group {group} allows": allowance.limits.concurrent,
    }
    known = {name: seats for name, seats in bounds.items() if seats is not None}
    if not known:
        return Lift(f"It is limited by {told or 'the calls that may be in flight at a time'}.")
    name = min(known, key=lambda name: known[name])
    calls = "call" if known[name] == 1 else "calls"
    message = f"{known[name]:,} {calls} may be in flight at a time ({name})"
    enough = told.partition(", ")[2]  # as limiter.lua found by what a call takes
    return Lift(f"{message}{f'; {enough}' if enough else ''}.", group if "group" in name else None)


def _of_workers(session: Session) -> Lift:
    crew, strength = leases.crew(session), leases.strength(session)
    if not crew.all:
        return Lift("No worker is running: start a slice worker.")
    workers = "one worker" if len(crew.all) == 1 else f"{len(crew.all):,} workers"
    return Lift(
        f"The {strength.threads:,} threads of {workers} are taken, or kept for other tenants: another slice"
        " worker makes room."
    )


def _of_nothing(view: JobView) -> Lift:
    if not view.counts.running:
        return Lift("Its records wait for their turn.")
    calls = "One call is" if view.counts.running == 1 else f"{view.counts.running:,} calls are"
    return Lift(f"Nothing holds it back: {calls} in flight, and the provider takes its time to answer.")


def _enough_of_a_cap(view: JobView) -> str:
    """The cap that would do if the other records cost what those that were answered did."""
    answered = view.counts.succeeded
    if view.max_cost is None or not answered or not view.cost:
        return ""
    mean = -(-view.cost // answered)
    enough = view.cost + view.cost_unconfirmed + mean * view.counts.unended
    return (
        f"At ${pricing.dollars(mean)} a record so far, the {view.counts.unended:,} that are left bring the"
        f" whole to about ${_cents(enough)}."
    )


def _cents(cost: int) -> str:
    """Up to the next cent."""
    cents = -(-cost // (pricing.PICO // 100))
    return f"{cents // 100:,}.{cents % 100:02}"


def _time(at: dt.datetime, now: dt.datetime) -> str:
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"
