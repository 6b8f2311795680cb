"""Which row of its sheet each record of a job was: as runs of numbers, since most sheets are a single one."""

import sys
import zlib
from array import array
from collections.abc import Iterator
from typing import Self


class RowNumbers:
    """Ascending numbers; iterating gives them one by one."""

    def __init__(self) -> None:
        self._runs = array("I")  # where each run starts, and how many numbers it has
        self._next = 0

    def __iter__(self) -> Iterator[int]:
        for at in range(0, len(self._runs), 2):
            start, count = self._runs[at : at + 2]
            yield from range(start, start + count)

    def add(self, number: int) -> None:
        if number == self._next:
            self._runs[-1] += 1
        else:
            self._runs.extend((number, 1))
        self._next = number + 1

    def to_bytes(self) -> bytes:
        return zlib.compress(_little_endian(self._runs).tobytes())

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` wrote; only to be read."""
        numbers = cls()
        runs = array("I")
        runs.frombytes(zlib.decompress(content))
        numbers._runs = _little_endian(runs)
        return numbers


def _little_endian(runs: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        runs = array("I", runs)
        runs.byteswap()
    return runs
