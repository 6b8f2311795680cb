"""The price and the time of a draft, in the figures and words of the page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.core.accounts.api_keys import Caller
from app.core.documents.job_drafts import JobDraft
from app.core.money import pricing
from app.core.money.quote import Quote, quote
from app.dashboard.new_job import preparing, trial
from app.errors import Refused
from app.ingest.spool import DraftSpool
from app.services import submission
from app.services.options import Options
from config import settings

WITH_THE_PAGE = 50_000  # bytes of a file that is quoted while its page is made
BY_ITSELF = 2_000_000  # bytes up to which a quote follows what is typed; beyond, somebody asks for it
LIMITS = {
    "workers": "the speed of the workers",
    "requests": "the provider's requests a minute",
    "input_tokens": "the provider's input tokens a minute",
    "output_tokens": "the provider's output tokens a minute",
    "concurrency": "the number of calls in flight",
}


@dataclass(frozen=True, slots=True)
class Priced:
    """A quote in dollars and words."""

    quote: Quote
    cost: dict[str, str] | None  # dollars by case
    limited_by: str
    skipped: int
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Quoted:
    """The price, or why there is none; with neither it is still to be asked for."""

    priced: Priced | None = None
    fault: Refused | None = None


def with_page(me: Caller, draft: JobDraft) -> Quoted:
    """The quote of a small file, nothing for another."""
    return work_out(me, draft) if draft.bytes <= WITH_THE_PAGE else Quoted()


def work_out(me: Caller, draft: JobDraft) -> Quoted:
    """Read all of the draft, and quote it; a fault is a result, because somebody is still typing."""
    try:
        with DraftSpool(settings.current().data) as spool:
            received = preparing.prepare(me, draft, spool, asks=False)
            job = trial.find_job(me, draft)
            options = replace(received.options, reuse=trial.reuse(received.options, job))
            with submission.sparing_of(me.tenant_id, received.defaults, options) as sparing:
                return Quoted(_priced(quote(me.tenant_id, spool, received.defaults, sparing), options))
    except Refused as error:
        return Quoted(fault=error)


def _priced(found: Quote, options: Options) -> Priced:
    told = options.form and options.form.warning
    return Priced(
        quote=found,
        cost=None
        if found.cost is None
        else {case: pricing.dollars(cost) for case, cost in found.cost.items()},
        limited_by=LIMITS.get(found.limited_by, found.limited_by),
        skipped=len(options.skipped or ()),
        notes=[*options.notes, *found.warnings, *([told] if told else ())],
    )
