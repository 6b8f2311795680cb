"""Texts that come piece by piece, kept as pieces: to join a long one anew for each would take for ever."""

from collections.abc import Iterator
from typing import Any

PIECE = 24  # characters


class Pieces(list[str]):
    """The pieces of one text."""


def add(owner: dict[str, Any], name: str, piece: str) -> None:
    """Append a piece to the text `name`; raises `TypeError` for what is no text."""
    if not isinstance(piece, str):
        raise TypeError(f"a piece of {name} is no text")
    there = owner.get(name)
    if not isinstance(there, Pieces):
        there = owner[name] = Pieces([there] if there else [])
    there.append(piece)


def cut(text: str) -> Iterator[str]:
    """The pieces in which a text is streamed that has come whole."""
    return (text[at : at + PIECE] for at in range(0, len(text), PIECE))


def joined(value: Any) -> Any:
    """The same value, with its texts whole."""
    if isinstance(value, Pieces):
        return "".join(value)
    if isinstance(value, dict):
        return {name: joined(part) for name, part in value.items()}
    return [joined(part) for part in value] if isinstance(value, list) else value
