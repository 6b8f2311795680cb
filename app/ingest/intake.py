"""The constraints on a job's records together: not too many, and no `custom_id` twice."""

from array import array
from collections.abc import Hashable
from typing import TypeGuard

from app.errors import BadInput, TooLarge
from app.ingest.draft import Draft, Problems


class Intake:
    """Counts the records of one input and detects duplicate `custom_id`s.

    `label` turns a number into a position: `line {}`, `row {}`, `records[{}]`.
    """

    def __init__(self, label: str, max_records: int, problems: Problems) -> None:
        self.count = 0
        self._before, self._after = label.split("{}")
        self._max_records = max_records
        self._problems = problems
        self._ids = Places()

    def place(self, number: int) -> str:
        return f"{self._before}{number}{self._after}"

    def admits(self, draft: Draft | None, number: int) -> TypeGuard[Draft]:
        """Whether the record with this number is accepted; a duplicate `custom_id` becomes a problem."""
        self.count += 1
        if self.count > self._max_records:
            raise TooLarge(
                f"{self.place(number)}: a job takes up to {self._max_records:,} records (MAX_RECORDS);"
                " submit the others as another job"
            )
        if draft is None:
            return False
        if draft.custom_id is None:
            return True
        first = self._ids.claim(draft.custom_id, number)
        if first is not None:
            message = f'custom_id "{draft.custom_id}" is already used by {self.place(first)}'
            self._problems.add(self.place(number), message)
        return first is None

    def close(self, if_empty: str) -> None:
        """Raise `BadInput` with this message if there was no record at all."""
        if not self.count and not self._problems.count:
            raise BadInput(if_empty)


class Places:
    """Where each name was first seen: a hash table of 64-bit hashes, 24 to 48 bytes per name.

    A dict of the names takes 150 bytes per name and more. Two names with the same hash would be treated as
    equal: once in thirty million jobs of a million records.
    """

    def __init__(self) -> None:
        self._make(1_024)

    def claim(self, name: Hashable, place: int) -> int | None:
        """Note `place` for `name`; the place of its first use, if there was one."""
        keys, mask = self._keys, self._mask
        key = hash(name) & 0xFFFF_FFFF_FFFF_FFFF or 1
        slot = key & mask
        while found := keys[slot]:
            if found == key:
                return self._places[slot]
            slot = (slot + 1) & mask
        keys[slot] = key
        self._places[slot] = place
        self._free -= 1
        if not self._free:
            self._grow()
        return None

    def _make(self, slots: int) -> None:
        self._mask = slots - 1
        self._free = slots // 2  # beyond that, searching takes longer
        self._keys = array("Q", [0]) * slots
        self._places = array("I", [0]) * slots

    def _grow(self) -> None:
        old_keys, old_places = self._keys, self._places
        self._make(2 * len(old_keys))
        keys, places, mask = self._keys, self._places, self._mask
        for key, place in zip(old_keys, old_places, strict=True):
            if key:
                slot = key & mask
                while keys[slot]:
                    slot = (slot + 1) & mask
                keys[slot] = key
                places[slot] = place
                self._free -= 1
