"""Counts what a transaction has made of jobs, records and calls, for the metrics, once it is committed."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.core.measures import metrics, proven
from app.core.measures.counts import counts
from app.core.money import ledger, totals
from app.core.money.ledger import Call
from app.core.money.pricing import PICO
from models.record import RecordStatus
from models.session import after_commit


class End(NamedTuple):
    """How a record ended."""

    status: RecordStatus
    error_type: str | None
    stop_reason: str | None


def records_ended(session: Session, ends: Sequence[End]) -> None:
    after_commit(session, partial(_count_ends, ends))


def calls_booked(session: Session, provider: str, calls: Sequence[Call]) -> None:
    """Count calls of a provider, as the ledger books them."""
    after_commit(session, partial(_count_calls, provider, calls))


def records_closed(session: Session, word: str, records: int) -> None:
    """Count records that ended unasked as their job had been closed: cancelled or expired."""
    after_commit(session, partial(counts.add, metrics.RECORDS, word, "", by=records))


def job_ended(session: Session, status: str) -> None:
    after_commit(session, partial(counts.add, metrics.JOBS_ENDED, status))


def window_closed(session: Session, seconds: float) -> None:
    """Count a window whose records had all ended so many seconds after its offer."""
    after_commit(session, partial(counts.observe, metrics.WINDOW_SECONDS, seconds))


def _count_ends(ends: Sequence[End]) -> None:
    for status, error_type, stop_reason in ends:
        word = ledger.storable(error_type, 100) if status is RecordStatus.FAILED else None
        counts.add(metrics.RECORDS, status.word, word or "")
        if stop_reason is not None:
            counts.add(metrics.STOP_REASONS, stop_reason if stop_reason in metrics.STOP_WORDS else "other")


def _count_calls(provider: str, calls: Sequence[Call]) -> None:
    for call in calls:
        if call is ledger.NO_CALL or (call.outcome == ledger.UNSENT and call.error_type is None):
            continue  # there was none
        is_answer = call.outcome == ledger.ANSWERED and call.error_type is None
        if is_answer:
            proven.answered(call.model)
        labels = provider, proven.model(call.model)
        counts.add(metrics.CALLS, *labels, call.outcome, call.error_type or "")
        if call.outcome == ledger.UNCONFIRMED and call.cost:
            counts.add(metrics.CALL_COST_UNCONFIRMED, *labels, by=call.cost / PICO)
        if is_answer:
            _count_answer(call, labels)


def _count_answer(call: Call, labels: tuple[str, str]) -> None:
    counts.observe(metrics.CALL_SECONDS, call.seconds, *labels)
    if call.first_byte is not None:
        counts.observe(metrics.FIRST_BYTE_SECONDS, call.first_byte, *labels)
    for kind in totals.TOKENS:
        if number := getattr(call.usage, kind):
            counts.add(metrics.CALL_TOKENS, *labels, kind.removesuffix("_tokens"), by=number)
    if call.cost:
        counts.add(metrics.CALL_COST, *labels, by=call.cost / PICO)
