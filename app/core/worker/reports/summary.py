"""What a slice has done: figures, and the line that Flower shows of them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Self

from app.core.money import ledger, pricing
from app.core.pipeline.outcomes import Outcome
from models.record import RecordStatus

NOTHING = "nothing was left to do"


@dataclass(slots=True)
class Summary:
    """Counts records by how they ended, and the calls that were made for them. Money is in pico-dollars."""

    ended: Counter[str] = field(default_factory=Counter)  # by the word of their status
    errors: Counter[str] = field(default_factory=Counter)  # of those that failed
    put_off: int = 0  # given back, to be asked later
    calls: int = 0
    retried: int = 0  # calls for a record that had been asked before
    tokens: int = 0
    cost: int = 0
    unconfirmed: int = 0  # the most that calls without a known end may cost, besides
    unpriced: int = 0  # calls of a model without a price

    def __str__(self) -> str:
        """`15 of 45 failed (server_error) · 3 retried · 12,300 tokens · $0.0412`."""
        return " · ".join((*self._records(), *self._calls())) or NOTHING

    @property
    def is_empty(self) -> bool:
        return not (self.ended or self.put_off or self.calls)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome that was written."""
        if outcome.status is not None:
            self.ended[outcome.status.name.lower()] += 1
        elif outcome.again_in is not None:
            self.put_off += 1
        if outcome.status is RecordStatus.FAILED:
            self.errors[outcome.error_type or "unknown"] += 1
        if outcome.call is not ledger.NO_CALL:
            self._add_call(outcome)

    def _add_call(self, outcome: Outcome) -> None:
        call = outcome.call
        self.calls += 1
        self.retried += outcome.claim.attempt > 1
        self.tokens += call.usage.prompt_tokens + call.usage.output_tokens
        self.unpriced += call.cost is None
        if call.outcome == ledger.UNCONFIRMED:
            self.unconfirmed += call.cost or 0
        else:
            self.cost += call.cost or 0

    def figures(self) -> dict[str, int]:
        """The main ones, as a trace has them."""
        return {
            "records": self.ended.total(),
            "succeeded": self.ended["succeeded"],
            "failed": self.ended["failed"],
            "retried": self.retried,
            "tokens": self.tokens,
            "cost": self.cost,
        }

    def to_json(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        counted = {name: Counter(found[name]) for name in ("ended", "errors")}
        return cls(**{**found, **counted})

    def _records(self) -> Iterator[str]:
        """How the records ended: failures first, since nothing else of a list of tasks tells of them."""
        failed = self.ended["failed"]
        if failed:
            [(most, _)] = self.errors.most_common(1)
            more = f" and {len(self.errors) - 1} more" if len(self.errors) > 1 else ""
            yield f"{failed:,} of {self.ended.total():,} failed ({most}{more})"
        elif self.ended["succeeded"]:
            yield f"{self.ended['succeeded']:,} succeeded"
        for word in ("cancelled", "expired"):
            if self.ended[word]:
                yield f"{self.ended[word]:,} {word}"
        if self.put_off:
            yield f"{self.put_off:,} put off"

    def _calls(self) -> Iterator[str]:
        if self.retried:
            yield f"{self.retried:,} retried"
        if self.calls:
            yield f"{self.tokens:,} tokens"
            yield "cost unknown" if self.unpriced else pricing.about(self.cost)
        if self.unconfirmed:
            yield f"up to {pricing.about(self.unconfirmed)} unconfirmed"
