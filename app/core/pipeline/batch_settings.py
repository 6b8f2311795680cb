"""How items are batched and what urgency weighs: by the environment, unless an operator overrides it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.providers.inference.batching import Batching
from config import settings
from models.batching import THE_ROW, BatchConfiguration
from models.job import LIVE, Job
from models.upsert import insert_missing

WEIGHTS = {"critical": 1.0, "high": 0.8, "normal": 0.5, "low": 0.2}


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings in force."""

    batching: Batching
    priority_weights: Mapping[str, float]

    def priority(self, urgency: str) -> int:
        """A job's priority, 1 to 10, for a batch of this urgency."""
        return priority_of(self.priority_weights[urgency])


def priority_of(weight: float) -> int:
    return round(10 * weight)


def read(session: Session) -> Configuration:
    """The settings in force now."""
    return _configuration(session.get(BatchConfiguration, THE_ROW))


def lock(session: Session) -> BatchConfiguration:
    """The locked row, created if missing. It comes after jobs in the order of locks."""
    insert_missing(session, BatchConfiguration, {"id": THE_ROW})
    return session.get_one(BatchConfiguration, THE_ROW, with_for_update=True)


def change(session: Session, values: Mapping[str, Any]) -> Configuration:
    """Set `values`, by the row's columns; weights that are not given stay."""
    weights = values.get("priority_weights")
    if weights is not None:
        _reprioritise(session, weights)
    row = lock(session)
    for name, value in values.items():
        setattr(row, name, value)
    if weights is not None:
        row.priority_weights = {**(row.priority_weights or {}), **weights}
    session.flush()
    return _configuration(row)


def _reprioritise(session: Session, weights: Mapping[str, float]) -> None:
    """Give batches that are waiting or running the new priority of their urgency."""
    for urgency, weight in weights.items():
        live = select(Job.id).where(Job.status.in_(LIVE), Job.urgency == urgency).order_by(Job.id)
        session.execute(
            update(Job).where(Job.id.in_(live.with_for_update())).values(priority=priority_of(weight))
        )


def _configuration(row: BatchConfiguration | None) -> Configuration:
    default = settings.current()
    batching = Batching(
        **{
            name: getattr(default if row is None or getattr(row, name) is None else row, name)
            for name in (field.name for field in fields(Batching))
        }
    )
    return Configuration(batching, {**WEIGHTS, **((row and row.priority_weights) or {})})
