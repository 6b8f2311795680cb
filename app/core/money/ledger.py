"""The ledger of attempts: one row for each call of a provider, and its cost."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    and_,
    bindparam,
    case,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from app.core.money import pricing
from app.core.money.pricing import Price
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.errors import Booking
from app.ingest.values import is_plain
from app.providers.client import KINDS, Usage
from models.base import any_of, now
from models.bulk import ManyRows
from models.record import Attempt

ANSWERED, UNCONFIRMED, UNSENT = (booking.value for booking in Booking)
USAGE_UNKNOWN = "usage_unknown"  # the error type of a call whose answer does not say what it took
NOTHING = Usage()
HALF_PRICE = frozenset({"batch", "flex"})  # tiers that answers name
LONGEST = (("model", 200), ("error_type", 100), ("request_id", 200))  # characters


def storable(text: str | None, limit: int) -> str | None:
    """A text from outside, made to fit a column of `limit` characters."""
    if text is None or (len(text) <= limit and is_plain(text)):
        return text
    return text.encode("ascii", "backslashreplace").decode().replace("\0", "\\0")[:limit]


@dataclass(frozen=True, slots=True)
class Call:
    """How one call ended, as the ledger records it."""

    outcome: str  # ANSWERED, UNCONFIRMED or UNSENT
    model: str
    usage: Usage = NOTHING
    cost: int | None = 0  # pico-dollars; None: the model has no price
    price: str | None = None
    error_type: str | None = None
    request_id: str | None = None
    seconds: float = 0.0  # duration, by this process's monotonic clock
    cache_saved: int | None = None  # pico-dollars, by its provider's cache; None: that took no part
    first_byte: float | None = None  # seconds until the answer began, where that is known; not kept

    @property
    def usage_unknown(self) -> bool:
        """Whether it was answered without saying what it took."""
        return self.outcome == UNCONFIRMED and self.error_type == USAGE_UNKNOWN

    def __post_init__(self) -> None:
        for name, limit in LONGEST:
            object.__setattr__(self, name, storable(getattr(self, name), limit))


NO_CALL = Call("", "")  # of a record that ends without a call: nothing is written to the ledger


def answered(
    model: str,
    params: dict[str, Any],
    usage: Usage,
    request_id: str | None,
    seconds: float,
    *,
    sent_at: dt.datetime,
) -> Call:
    """A call whose tokens are known. It was sent at `sent_at` and is charged at the price of that day."""
    price = pricing.price_at(model, sent_at)
    is_batch = usage.service_tier in HALF_PRICE
    cost = None if price is None else price.cost(usage, **surcharges(params), batch=is_batch)
    return Call(
        ANSWERED,
        model,
        usage,
        cost,
        None if price is None else price.id,
        None,
        request_id,
        seconds,
        _saved(price, usage, params, is_batch),
    )


def _saved(price: Price | None, usage: Usage, params: dict[str, Any], is_batch: bool) -> int | None:
    """What a call would have cost more without its provider's cache, in pico-dollars."""
    if price is None or not (usage.cache_read_tokens or usage.cache_write_tokens):
        return None
    without = replace(
        usage,
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=0,
        cache_write_5m_tokens=0,
        cache_write_1h_tokens=0,
    )
    extra = surcharges(params)
    return price.cost(without, **extra, batch=is_batch) - price.cost(usage, **extra, batch=is_batch)


def unconfirmed(
    model: str,
    params: dict[str, Any],
    request_bytes: int,
    max_tokens: int,
    error_type: str,
    seconds: float = 0.0,
    *,
    sent_at: dt.datetime,
) -> Call:
    """A call that was sent, at `sent_at`, and of which nobody says what it took: booked at its worst case."""
    price = pricing.price_at(model, sent_at)
    cost = None if price is None else price.worst_case(request_bytes, max_tokens, **surcharges(params))
    return Call(
        UNCONFIRMED,
        model,
        cost=cost,
        price=None if price is None else price.id,
        error_type=error_type,
        seconds=seconds,
    )


def as_reserved(call: Call, reserved: int | None) -> Call:
    """`call` at the cost reserved under a cap, which was measured on the request and must not be exceeded."""
    return call if reserved is None or call.cost is None else replace(call, cost=reserved)


def surcharges(params: dict[str, Any]) -> dict[str, bool]:
    """Which surcharges on the model's list price apply to a request."""
    return {"us_only": params.get("inference_geo") == "us", "fast": params.get("speed") == "fast"}


def row(job: JobContext, claim: Claim, call: Call) -> dict[str, Any]:
    """The attempt's row, for an insert of many."""
    usage = call.usage
    return {
        "job_id": job.job_id,
        "idx": claim.idx,
        "attempt": claim.attempt,
        "tenant_id": job.tenant_id,
        "outcome": call.outcome,
        "error_type": call.error_type,
        "model": call.model,
        "request_id": call.request_id,
        **{kind: getattr(usage, kind) for kind in KINDS},
        "server_tool_uses": usage.server_tool_uses or None,
        "price": call.price,
        "cost": call.cost,
        "cache_saved": call.cache_saved,
        "ago": -call.seconds,
    }


AGO = {"ago": Float()}  # seconds from a call's end back to its start, at most 0; read by `times`


def times(of: Callable[[str], ColumnElement[Any]]) -> dict[str, ColumnElement[Any]]:
    """When a call of a row began and ended, for `ManyRows`, by the database's clock."""
    return {"started_at": now(of("ago")), "ended_at": now()}


_attempts = ManyRows(
    Attempt,
    (
        "job_id",
        "idx",
        "attempt",
        "tenant_id",
        "outcome",
        "error_type",
        "model",
        "request_id",
        *KINDS,
        "server_tool_uses",
        "price",
        "cost",
        "cache_saved",
    ),
    besides=AGO,
    computed=times,
    keep=True,
)


def write(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert attempts; one that exists already stays as it is (after a COMMIT whose answer was lost)."""
    _attempts.insert(session, rows)


def confirm(session: Session, job: JobContext, claim: Claim, call: Call) -> tuple[int, dt.date] | None:
    """Turn the unconfirmed attempt of a late answer into an answered one, on the day it was booked on.

    Returns the worst case that it replaces (pico-dollars; 0 when the model had no price) and that day, or
    None when there was nothing to confirm.
    """
    key = (Attempt.job_id == job.job_id, Attempt.idx == claim.idx, Attempt.attempt == claim.attempt)
    worst = session.execute(
        select(Attempt.cost, Attempt.ended_at).where(*key, Attempt.outcome == UNCONFIRMED).with_for_update()
    ).one_or_none()
    if worst is None:
        return None
    values = row(job, claim, call)
    for name in ("job_id", "idx", "attempt", "tenant_id", "ago"):
        values.pop(name)
    session.execute(update(Attempt).where(*key).values(**values, confirmed_at=now()))
    return worst.cost or 0, worst.ended_at.astimezone(dt.UTC).date()


def answered_costs(session: Session, job_id: int, indices: Sequence[int]) -> dict[int, int | None]:
    """Pico-dollars of the answers to each record so far; None where one has no price or no known usage."""
    rows = session.connection().execute(_ANSWERED_COSTS, {"job": job_id, "indices": indices})
    costs = {row.idx: None if row.unpriced else int(row.cost or 0) for row in rows}
    return dict.fromkeys(indices, 0) | costs


# Attempts with an answer, and what those cost of which that is known.
WAS_ANSWERED = or_(
    Attempt.outcome == ANSWERED,
    and_(Attempt.outcome == UNCONFIRMED, Attempt.error_type == USAGE_UNKNOWN),
)
KNOWN_COST = case((Attempt.outcome == ANSWERED, Attempt.cost), else_=null())

_ANSWERED_COSTS = (
    select(
        Attempt.idx,
        func.sum(KNOWN_COST).label("cost"),
        func.count().filter(KNOWN_COST.is_(None)).label("unpriced"),
    )
    .where(Attempt.job_id == bindparam("job"), any_of(Attempt.idx, "indices"), WAS_ANSWERED)
    .group_by(Attempt.idx)
)
