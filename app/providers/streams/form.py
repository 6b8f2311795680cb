"""What an API's answers are, whole and in events. Imports no transport: the table of providers needs none."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import ProviderError
from app.providers import refusals
from app.providers.client import Reply
from app.providers.streams import sse

Refused = Callable[[int, object, Mapping[str, str]], ProviderError]  # status, body, headers


class Assembly(Protocol):
    """Puts an answer together from its events."""

    whole: dict[str, Any]
    is_whole: bool  # the last event has come

    def add(self, event: Any) -> None:
        """Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for one that fits no answer."""


@dataclass(frozen=True, slots=True)
class Form:
    """What an API's answers are, whole and in events."""

    assembly: Callable[[], Assembly]
    events: Callable[[Mapping[str, Any]], Iterator[bytes]]
    read: Callable[[bytes, Mapping[str, str]], Reply]
    refused: Refused = refusals.read
    shows: Callable[[Any], bool] = lambda _: True  # whether an event is for the caller


def visible(form: Form, answer: Mapping[str, Any]) -> Iterator[bytes]:
    """The events that a caller gets of a whole answer."""
    for raw in form.events(answer):
        (event,) = sse.Cutter().feed(raw)
        if form.shows(event.json()):
            yield raw
