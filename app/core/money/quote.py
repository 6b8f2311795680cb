"""Quotes: the tokens, cost and duration that a job will take, before it is submitted. Nothing is stored."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.limits import allowances
from app.core.limits.allowances import Allowance, Held
from app.core.limits.duration import Work, bound
from app.core.limits.report import unused
from app.core.money import cached_share, estimate, pricing, quote_warnings
from app.core.money.calibration import FIRST_TOKEN, TOKENS_A_SECOND, Calibration, Mix, calibrate
from app.core.money.estimate import CASES
from app.core.money.pricing import Price
from app.core.requests.sparing import Sparing
from app.ingest.draft import Defaults
from app.ingest.previews import prompts
from app.ingest.spool import DraftSpool
from app.ingest.tally import Tally
from app.ingest.templates import Template, compile_template
from app.providers import registry
from app.providers.client import RateLimits
from config import settings
from models.job import Job, JobCounts, JobStatus
from models.session import reading


@dataclass(frozen=True, slots=True)
class Quote:
    """What a job will take; figures by case: `low`, `likely`, `high`."""

    model: str
    records: int
    reused: int  # further records, which have the answer of an earlier job
    copies: int  # further records, which ask the same as another of them and are not asked
    first_prompt: str | None
    duplicates: int
    input_tokens: Mapping[str, int]
    output_tokens: Mapping[str, int]
    cache_reads: int  # of these input tokens, likely from the provider's cache
    cache_saved: int  # pico-dollars that its use likely saves; 0 also where the model has no price
    cost: Mapping[str, int] | None  # pico-dollars; None: the model has no price
    seconds: Mapping[str, float]
    limited_by: str
    queued: int  # records of other jobs that are asked before the last one of this job
    calibration: Calibration
    basis: str
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions that the job will run under: its group's limits, and the records ahead of it."""

    allowance: Allowance
    unused: RateLimits | None  # what the last minute has left of it; None where calls are paced
    held: Held | None
    seats: int | None
    before: int


def quote(tenant_id: int, spool: DraftSpool, defaults: Defaults, sparing: Sparing | None = None) -> Quote:
    """The cost and duration of the spooled drafts, as far as can be known now.

    `sparing` finds what of them need not be asked.
    """
    tally, reused = _tally(spool, defaults, sparing or Sparing(tenant_id))
    with reading() as session:
        calibration = calibrate(session, tenant_id, defaults)
        calibration = cached_share.calibrated(session, calibration, defaults, tally)
        conditions = _conditions(session, defaults.model, tally.count)
    tokens_in = estimate.input_tokens(calibration, tally)
    tokens_out = estimate.output(calibration, tally)
    bounds = {
        case: _bound(case, defaults, tally, calibration, tokens_in, tokens_out, conditions) for case in CASES
    }
    price = pricing.price_at(defaults.model, dt.datetime.now(dt.UTC))
    cost, saved = _cost(price, defaults, tally, calibration, tokens_out)
    return Quote(
        model=defaults.model,
        records=tally.count,
        reused=reused,
        copies=spool.count - tally.count - reused,
        first_prompt=_first_prompt(spool, defaults),
        duplicates=tally.duplicates,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cache_reads=round(tokens_in["likely"] * calibration.mix.shares.get("cache_read_tokens", 0.0)),
        cache_saved=saved,
        cost=cost,
        seconds={case: seconds for case, (seconds, _) in bounds.items()},
        limited_by=bounds["likely"][1],
        queued=conditions.before,
        calibration=calibration,
        basis=quote_warnings.basis(calibration, defaults.model),
        warnings=quote_warnings.warnings(
            defaults,
            tally,
            calibration,
            priced=price is not None,
            allowance=conditions.allowance,
            held=conditions.held,
        ),
    )


def _cost(
    price: Price | None,
    defaults: Defaults,
    tally: Tally,
    calibration: Calibration,
    tokens_out: Mapping[str, int],
) -> tuple[Mapping[str, int] | None, int]:
    """The cost by case, and what of its likely one the provider's cache has saved."""
    if price is None:
        return None, 0
    uncached = replace(calibration, mix=Mix(searches=calibration.mix.searches))
    paid, full = (
        estimate.cost(price, defaults.params, tally, by, tokens_out) for by in (calibration, uncached)
    )
    return paid, full["likely"] - paid["likely"]


def _tally(spool: DraftSpool, defaults: Defaults, sparing: Sparing) -> tuple[Tally, int]:
    """Of the records that are asked; and how many have the answer of an earlier job."""
    tally, first, reused = Tally(defaults, _template(defaults)), 0, 0
    for chunk in spool.chunks():
        with reading() as session:
            spared = sparing.find(session, first, chunk)
        unasked = {answer.idx for answer in spared.answers} | spared.copies.keys()
        for idx, draft in enumerate(chunk, start=first):
            if idx not in unasked:
                tally.add(draft)
        first, reused = first + len(chunk), reused + len(spared.answers)
    return tally, reused


def _first_prompt(spool: DraftSpool, defaults: Defaults) -> str | None:
    for chunk in spool.chunks():
        return prompts.prompt_of(chunk[0], defaults, _template(defaults))
    return None


def _template(defaults: Defaults) -> Template | None:
    return None if defaults.template is None else compile_template(defaults.template)


def _conditions(session: Session, model: str, records: int) -> Conditions:
    group = registry.limit_group(model)
    _, held = allowances.read_all(session).get(group, (None, None))
    allowance = allowances.read(session, group)
    return Conditions(
        allowance=allowance,
        unused=unused(group, allowance),
        held=held,
        seats=registry.max_concurrent_calls(group, settings.current()),
        before=records_before(session, group, records),
    )


def records_before(session: Session, group: str, records: int) -> int:
    """How many records are asked before the last one of a new job, if live jobs take turns.

    Jobs of every tenant count, as they share the group's limits; nothing but the sum is disclosed.
    """
    remaining = session.scalars(
        select(Job.total - JobCounts.ended)
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(
            Job.status.in_((JobStatus.PENDING, JobStatus.RUNNING)),
            Job.closed_as.is_(None),
            Job.limit_group == group,
        )
    )
    return sum(max(0, min(records, count)) for count in remaining)


def _bound(
    case: str,
    defaults: Defaults,
    tally: Tally,
    calibration: Calibration,
    tokens_in: Mapping[str, int],
    tokens_out: Mapping[str, int],
    conditions: Conditions,
) -> tuple[float, str]:
    if not tally.count:  # all its answers are those of an earlier job
        return 0.0, "workers"
    if calibration.seconds is None:
        seconds = FIRST_TOKEN + tokens_out[case] / tally.count / TOKENS_A_SECOND
    else:
        seconds = getattr(calibration.seconds, case)
    counted = 1.0 if registry.cache_reads_count(registry.limit_group(defaults.model)) else None
    share = counted or 1.0 - calibration.mix.shares.get("cache_read_tokens", 0.0)
    work = Work(tally.count, tokens_in[case] * share, tokens_out[case], seconds)
    return bound(
        work,
        0 if case == "low" else conditions.before,
        conditions.allowance.limits,
        conditions.seats,
        conditions.unused,
    )
