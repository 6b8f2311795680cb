"""How often a compiler of JSON Schemas copies their parts, counted before anything is compiled.

References are compiled once and shared, except under `unevaluatedProperties` and `unevaluatedItems`: for
these the compiler follows each reference anew and copies what it leads to, with its stack as deep as the
references lead. Two references to a part that has two in turn, and so on, make millions of copies of a schema
of a few hundred bytes, and a chain of a thousand ends the process.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.core.requests.schema_references import References, places
from app.errors import BadInput

MAX_COPIES = 10_000  # places: each takes up to 15 microseconds and 8 kB
MAX_DEPTH = 100  # references that lead to one another; the compiler's stack holds several hundred

UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
DEFINITIONS = ("$defs", "definitions")  # compiled only where they are referred to

# Parts that describe the same value as the schema around them: what they refer to is copied with it.
ONE = ("if", "then", "else", "not")
LISTS = ("allOf", "anyOf", "oneOf")
NAMED = "dependentSchemas"


def check(schema: Mapping[str, Any]) -> None:
    """Raise `BadInput` for a schema of which compiling would make too many copies.

    Takes time in proportion to the schema and to `MAX_COPIES`.
    """
    found = [place for place in places(schema) if _is_unevaluated(place)]
    if found:
        _Copies(schema).count(found)


class _Copies:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._references = References(root)
        self._room = MAX_COPIES
        # By the identity of a place, which the schema keeps alive.
        self._sizes: dict[int, int] = {}
        self._targets: dict[int, list[Any]] = {}

    def count(self, parts: Iterable[Any]) -> None:
        """Raise `BadInput` when following the references of these takes too many copies."""
        for part in parts:
            self._charge(self._size(part))
            self._follow(part, [id(part)])

    def _follow(self, place: Any, path: list[int]) -> None:
        """`path`: what is being copied, from the outside in; nothing is copied into itself."""
        if len(path) > MAX_DEPTH:
            raise BadInput(
                f"schema: its references lead to one another over {MAX_DEPTH} deep: make it flatter"
            )
        for target in self._targets_of(place):
            if id(target) not in path:
                self._charge(self._size(target))
                self._follow(target, [*path, id(target)])

    def _charge(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise BadInput(
                f"schema: with its references followed, {' and '.join(UNEVALUATED)} apply to over"
                f" {MAX_COPIES:,} parts: use fewer references in `allOf` and the like, or"
                " `additionalProperties` and `items` instead"
            )

    def _targets_of(self, place: Any) -> list[Any]:
        """What is copied with this part: the targets of its references, and of those in a part of it that is
        `unevaluated…` itself, wherever it is.
        """
        if id(place) not in self._targets:
            parts = list(_in_place(place))
            there = set(map(id, parts))
            for inner in places(place, DEFINITIONS):
                if _is_unevaluated(inner) and id(inner) not in there:
                    parts += _in_place(inner)
            self._targets[id(place)] = [target for part in parts for target in self._references.of(part)]
        return self._targets[id(place)]

    def _size(self, place: Any) -> int:
        if id(place) not in self._sizes:
            self._sizes[id(place)] = sum(1 for _ in places(place, DEFINITIONS))
        return self._sizes[id(place)]


def _is_unevaluated(place: Any) -> bool:
    return isinstance(place, dict) and any(name in place for name in UNEVALUATED)


def _in_place(place: Any) -> Iterator[dict[str, Any]]:
    """A schema and its parts that describe the same value."""
    waiting = [place]
    while waiting:
        found = waiting.pop()
        if not isinstance(found, dict):
            continue
        yield found
        waiting.extend(found[name] for name in ONE if name in found)
        for name in LISTS:
            if isinstance(some := found.get(name), list):
                waiting.extend(some)
        if isinstance(named := found.get(NAMED), dict):
            waiting.extend(named.values())
