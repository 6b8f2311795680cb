"""Checks every part in parallel, each with its own time limit: one that hangs hides no other."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from app.core.monitoring.bounded import Run
from app.doctor.finding import Finding, warning, wrong
from config import settings

LONGEST = 300  # characters of a driver's message


@dataclass(frozen=True, slots=True)
class Section:
    """Parts that are checked one after the other, because each needs the one before it.

    `remedy` is for when the check itself fails; `patience` is in seconds.
    """

    subjects: Sequence[str]
    look: Callable[[], Iterable[Finding]]
    remedy: str
    patience: float = 8.0


def examine(sections: Sequence[Section]) -> Iterator[Finding]:
    """Every finding, in the order of the sections."""
    began = time.monotonic()
    under_way = [(section, *_start(section)) for section in sections]
    for section, found, run in under_way:
        try:
            run.result(max(0.0, section.patience - (time.monotonic() - began)))
        except Exception as error:
            yield from [*found, *_failed(section, found, error)]
        else:
            yield from found


def _start(section: Section) -> tuple[list[Finding], Run[None]]:
    found: list[Finding] = []
    return found, Run(lambda: found.extend(finding for finding in section.look()))


def _failed(section: Section, found: Sequence[Finding], error: Exception) -> Iterator[Finding]:
    """The failure of the check, and the parts that could not be checked because of it."""
    seen = {finding.subject for finding in found}
    broken, *unseen = [subject for subject in section.subjects if subject not in seen] or [
        section.subjects[-1]
    ]
    yield wrong(broken, in_words(error), section.remedy)
    for subject in unseen:
        yield warning(subject, "not known", f"see {broken}")


def in_words(error: Exception) -> str:
    """A driver's message, in one line and without any secret from the settings."""
    text = " ".join(str(getattr(error, "orig", None) or error).split()) or type(error).__name__
    for secret in _secrets():
        text = text.replace(secret, "***")
    return text[:LONGEST]


def _secrets() -> Iterator[str]:
    chosen = settings.current()
    for url in (chosen.database_url, chosen.redis_url, chosen.broker_url):
        if password := urlsplit(url).password:
            yield from (password, unquote(password))
    yield from filter(None, (chosen.anthropic_api_key, chosen.penstock_api_key))
