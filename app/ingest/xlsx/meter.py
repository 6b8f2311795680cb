"""The price of a sheet: what a file of its size may unpack to, counted before it is paid.

A small archive may hold any number of rows, or name one cell in the last column of each. What real writers
make of even the most repetitive sheets stays below these bounds.
"""

from app.errors import BadInput

FREE_BYTES, BYTES_PER_BYTE = 5_000_000, 200  # unpacked; a very repetitive sheet of real life reaches 100
MAX_BYTES = 2_000_000_000  # unpacked, of any file
# Tags, attributes and line breaks; the most repetitive real sheets have 4 in each byte of the file.
FREE_MARKS, MARKS_PER_BYTE = 50_000, 5
DATE = 5  # a date, or a number in a format, costs as much as five more tags
FORMAT = 5  # tags for which a character of a format of numbers is understood; a quarter to apply it
GAP = 8  # cells that a row leaves out before its last one cost as much as a tag


class Meter:
    """What is left of the allowance of a file of `size` bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._bytes = self._allowed_bytes = min(FREE_BYTES + BYTES_PER_BYTE * size, MAX_BYTES)
        self._marks = self._allowed_marks = FREE_MARKS + MARKS_PER_BYTE * size

    def expect(self, size: int) -> None:
        """Refuse a part whose size is more than what is left, before it is unpacked."""
        if size > self._bytes:
            self._refuse_bytes(self._allowed_bytes - self._bytes + size)

    def take(self, block: bytes) -> None:
        """Pay for XML that is parsed next."""
        self.take_text(len(block))
        self.take_marks(block.count(b"<") + block.count(b"/>") + block.count(b"=") + block.count(b"\n"))

    def take_text(self, size: int) -> None:
        """Pay for text, also for one that stands in the file once and is used again."""
        self._bytes -= size
        if self._bytes < 0:
            self._refuse_bytes(self._allowed_bytes - self._bytes)

    def take_marks(self, count: int) -> None:
        self._marks -= count
        if self._marks < 0:
            raise BadInput(
                f"the file has {self._size:,} bytes and over {self._allowed_marks:,} cells, empty cells and"
                " other tags, which is too much for its size: send CSV or JSONL"
            )

    def _refuse_bytes(self, found: int) -> None:
        raise BadInput(
            f"the file has {self._size:,} bytes and unpacks to {found:,} or more, which is too much: the"
            f" limit for its size is {self._allowed_bytes:,}; send CSV or JSONL"
        )
