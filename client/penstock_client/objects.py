"""What the server tells of jobs, quotes and answers, as small objects.

Dollars are Decimals. `raw` is the JSON behind an object, with all that it has no attribute for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

TRIED = "It was tried on"  # how the reason of a pause after `try_first` begins
FINAL = frozenset({"completed", "failed", "cancelled", "expired"})


@dataclass(frozen=True)
class Counts:
    """Where a job's records are."""

    pending: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.cancelled + self.expired


@dataclass(frozen=True)
class Usage:
    """Tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


@dataclass(frozen=True)
class Dollars:
    """USD, if answers are short, as long as expected, or as long as they may be."""

    low: Decimal
    likely: Decimal
    high: Decimal


@dataclass(frozen=True)
class Seconds:
    """The same of a duration."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class Job:
    """A job as it was when it was read."""

    id: str
    name: str | None
    status: str  # pending, running, paused, cancelling; completed, failed, cancelled, expired
    status_reason: str | None
    model: str | None
    total: int
    counts: Counts
    progress: float  # 0 to 1
    cost: Decimal | None  # USD so far; None: its model has no price
    cost_unconfirmed: Decimal | None  # USD that calls without an answer may have cost on top, at most
    max_cost: Decimal | None
    forecast: Dollars | None  # of the whole cost, by the answers that `try_first` gave
    usage: Usage
    saved: Mapping[str, Any]  # what was not paid, by what saved it
    warnings: tuple[str, ...]
    metadata: Mapping[str, Any]
    created_at: dt.datetime | None
    ended_at: dt.datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def is_over(self) -> bool:
        """Whether no record will be asked any more."""
        return self.status in FINAL

    @property
    def is_tried(self) -> bool:
        """Whether it is paused because those that `try_first` chose have ended."""
        return self.status == "paused" and (self.status_reason or "").startswith(TRIED)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Job:
        return cls(
            id=raw["id"],
            name=raw.get("name"),
            status=raw["status"],
            status_reason=raw.get("status_reason"),
            model=raw.get("model"),
            total=raw.get("total", 0),
            counts=_known(Counts, raw.get("counts")),
            progress=raw.get("progress", 0.0),
            cost=dollars(raw.get("cost")),
            cost_unconfirmed=dollars(raw.get("cost_unconfirmed")),
            max_cost=dollars(raw.get("max_cost")),
            forecast=_cases(raw.get("forecast")),
            usage=_known(Usage, raw.get("usage")),
            saved=raw.get("saved") or {},
            warnings=tuple(raw.get("warnings") or ()),
            metadata=raw.get("metadata") or {},
            created_at=_time(raw.get("created_at")),
            ended_at=_time(raw.get("ended_at")),
            raw=raw,
        )


@dataclass(frozen=True)
class Quote:
    """What a job would cost. Nothing was stored, and no model was asked."""

    model: str
    records: int
    duplicates: int  # records with the same request as an earlier one
    reused: int  # further ones, whose answers are there already
    cost: Dollars | None  # None: the model has no price
    duration: Seconds
    limited_by: str
    first_prompt: str | None  # what the first record asks
    basis: str  # what the figures rest on, in a sentence
    warnings: tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Quote:
        seconds = raw["duration_seconds"]
        return cls(
            model=raw["model"],
            records=raw["records"],
            duplicates=raw.get("duplicates", 0),
            reused=raw.get("reused", 0),
            cost=_cases(raw["cost"]),
            duration=Seconds(seconds["low"], seconds["likely"], seconds["high"]),
            limited_by=raw["limited_by"],
            first_prompt=raw.get("first_prompt"),
            basis=(raw.get("basis") or {}).get("text", ""),
            warnings=tuple(raw.get("warnings") or ()),
            raw=raw,
        )


@dataclass(frozen=True)
class AnswerError:
    """Why a record has no answer that could be used."""

    type: str
    message: str


@dataclass(frozen=True)
class Answer:
    """A record that has ended."""

    index: int  # of its row, from 0
    row: Any  # as it was sent: a dict or a text; None of a file, whose rows the server reads
    status: str  # succeeded, failed, cancelled or expired
    text: str | None  # the whole answer as text
    value: Any  # the JSON in it, where fields or a schema were asked for
    error: AnswerError | None
    stop_reason: str | None
    usage: Usage | None
    cost: Decimal | None  # USD of all calls for it
    custom_id: str | None
    copy_of: int | None  # the index of the row that asked the same, and was asked in its place
    is_reused: bool  # it is the answer of an earlier job
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


def _cases(raw: Mapping[str, str] | None) -> Dollars | None:
    return None if not raw else Dollars(*(Decimal(raw[case]) for case in ("low", "likely", "high")))


def dollars(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def known_usage(raw: Any) -> Usage | None:
    return None if raw is None else _known(Usage, raw)


def _known(kind: Any, raw: Any) -> Any:
    """The counts that this version knows: later servers may tell more."""
    names = kind.__dataclass_fields__
    return kind(**{name: value for name, value in (raw or {}).items() if name in names})


def _time(value: str | None) -> dt.datetime | None:
    # Python 3.10 does not read the Z.
    return None if value is None else dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
