"""Counts what became of calls and records, for the metrics. On the writer's thread, after the commit."""

from collections.abc import Iterable

from app.core.measures import metrics
from app.core.measures.counts import counts
from app.core.money import ledger, totals
from app.core.money.pricing import PICO
from app.core.pipeline.outcomes import Outcome, Written
from models.record import RecordStatus


def count_group(group: Iterable[Outcome], written: Written) -> None:
    for outcome in group:
        _count_call(outcome)
        if outcome in written.won and outcome.status is not None:
            error_type = outcome.error_type if outcome.status is RecordStatus.FAILED else None
            counts.add(metrics.RECORDS, outcome.status.word, error_type or "")


def _count_call(outcome: Outcome) -> None:
    call, provider = outcome.call, outcome.job.provider
    if call.outcome == ledger.UNSENT and call.error_type is None:
        return  # there was none
    counts.add(metrics.CALLS, provider, call.model, call.outcome, call.error_type or "")
    if call.outcome != ledger.ANSWERED or call.error_type is not None:
        return
    counts.observe(metrics.CALL_SECONDS, call.seconds, provider, call.model)
    if call.first_byte is not None:
        counts.observe(metrics.FIRST_BYTE_SECONDS, call.first_byte, provider, call.model)
    for kind in totals.TOKENS:
        if number := getattr(call.usage, kind):
            counts.add(metrics.CALL_TOKENS, provider, call.model, kind.removesuffix("_tokens"), by=number)
    if call.cost:
        counts.add(metrics.CALL_COST, provider, call.model, by=float(call.cost / PICO))
