"""How expensive a JSON Schema is to check against, found before anything is checked."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from app.core.requests import patterns

DYNAMIC = ("$dynamicRef", "$recursiveRef")
DIVISION = 50  # places that `multipleOf` counts for: it divides exactly, however far apart two numbers are
STATES = 4  # of a pattern, that take as long as a place


class _Endless(Exception):
    """A part refers to itself, or to something that is not in the schema."""


def weight(schema: Mapping[str, Any]) -> int | None:
    """The number of places in a schema, counted again for each reference to them; None when it is infinite.

    What takes longer than to look at a place counts for several. A validator visits each place at most once
    for each part of an answer. A part that refers to itself can be visited more often with every level of the
    answer, unless the schema has only that one reference.
    """
    counting = _Counting(schema)
    if not counting.plain:
        return None
    try:
        return counting.places(schema)
    except (_Endless, RecursionError):
        return counting.own if counting.references == 1 else None


class _Counting:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[int, int | None] = {}  # by identity; None while it is being counted
        self.own = self.references = 0
        self.plain = True  # each reference is a path within the schema
        self._take_stock()

    def _take_stock(self) -> None:
        waiting: list[Any] = [self._root]
        while waiting:
            place = waiting.pop()
            self.own += 1
            waiting.extend(_inner(place))
            if isinstance(place, dict):
                self._take_stock_of(place)

    def _take_stock_of(self, place: dict[str, Any]) -> None:
        self.own += _extra(place)
        self.references += isinstance(place.get("$ref"), str)
        if any(name in place for name in DYNAMIC) or ("$id" in place and place is not self._root):
            self.plain = False

    def places(self, place: Any) -> int:
        """The number of places in this part of the schema; raises `_Endless`."""
        if not isinstance(place, dict | list):
            return 1
        if id(place) in self._known:
            known = self._known[id(place)]
            if known is None:
                raise _Endless
            return known
        self._known[id(place)] = None
        found = 1 + sum(map(self.places, _inner(place)))
        if isinstance(place, dict):
            found += _extra(place)
            if isinstance(place.get("$ref"), str):
                found += self.places(self._find(place["$ref"]))
        self._known[id(place)] = found
        return found

    def _find(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise _Endless
        found: Any = self._root
        for step in unquote(reference[1:]).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name)] if isinstance(found, list) else found[name]
            except (KeyError, IndexError, TypeError, ValueError):
                raise _Endless from None
        return found


def _inner(place: Any) -> Iterator[Any]:
    if isinstance(place, dict):
        yield from place.values()
    elif isinstance(place, list):
        yield from place


def _extra(place: Mapping[str, Any]) -> int:
    """What a place counts for beyond its one."""
    found = DIVISION if "multipleOf" in place else 0
    if isinstance(pattern := place.get("pattern"), str):
        found += patterns.states(pattern) // STATES
    if isinstance(named := place.get("patternProperties"), dict):
        found += sum(map(patterns.states, named)) // STATES
    return found
