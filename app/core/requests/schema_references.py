"""Where the references of a JSON Schema lead: to paths and anchors within it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from app.errors import BadInput

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
ANCHORS = ("$anchor", "$dynamicAnchor")
PUBLISHED = ("https://json-schema.org/", "http://json-schema.org/")  # built into validators, and small


def places(part: Any, without: Iterable[str] = ()) -> Iterator[Any]:
    """A part of a schema and everything within it, but for what has one of the names `without`."""
    waiting = [part]
    while waiting:
        found = waiting.pop()
        yield found
        if isinstance(found, dict):
            waiting.extend(inner for name, inner in found.items() if name not in without)
        elif isinstance(found, list):
            waiting.extend(found)


class References:
    """The references of the schema `root`, of which no part has an address of its own."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        """Raises `BadInput` for a part with an `$id`, because references would depend on where they stand."""
        self._root = root
        self._anchors: dict[str, list[Any]] = defaultdict(list)
        for place in places(root):
            if isinstance(place, dict):
                self._note(place)

    def of(self, place: Mapping[str, Any]) -> list[Any]:
        """The parts that a schema refers to, each to which a reference may lead.

        Raises `BadInput` for a reference that leads to nothing within the schema.
        """
        found = [place[name] for name in REFERENCES if isinstance(place.get(name), str)]
        return [part for reference in found for part in self._find(reference)]

    def _note(self, place: dict[str, Any]) -> None:
        if isinstance(place.get("$id"), str) and place is not self._root:
            raise BadInput(
                "schema: only the whole schema may have an `$id`: refer to its parts as #/… or #name"
            )
        for name in ANCHORS:
            if isinstance(anchor := place.get(name), str):
                self._anchors[anchor].append(place)

    def _find(self, reference: str) -> list[Any]:
        if reference.startswith(PUBLISHED):
            return []
        address, _, fragment = reference.partition("#")
        fragment = unquote(fragment)
        if address in ("", self._root.get("$id")):
            if fragment in self._anchors:
                return self._anchors[fragment]
            if (found := self._at(fragment)) is not None:
                return [found]
        raise BadInput(
            f"schema: the reference {reference[:200]!r} leads to nothing within it: refer to its parts as"
            " #/… or #name"
        )

    def _at(self, path: str) -> Any:
        """None where there is nothing."""
        first, *steps = path.split("/")
        found: Any = self._root if not first else None
        for step in steps:
            found = _inner(found, step.replace("~1", "/").replace("~0", "~"))
        return found


def _inner(part: Any, step: str) -> Any:
    if isinstance(part, dict):
        return part.get(step)
    if isinstance(part, list) and step.isascii() and step.isdigit() and len(step) < 9:
        return part[int(step)] if int(step) < len(part) else None
    return None
