"""The result of checking one part: its state, what was found, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works now, but may not later
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    state: State
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Finding:
    return Finding(subject, State.OK, text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject, State.WARNING, text, remedy)


def wrong(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject, State.WRONG, text, remedy)
