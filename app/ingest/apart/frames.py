"""What a helper and the process that started it say to each other: values, each behind its length."""

import io
import marshal
import os
from struct import Struct
from typing import Any, BinaryIO, NamedTuple

ANSWER, DONE, FAULT, MISSING = "answer", "done", "fault", "missing"  # what comes back, beside a value
LENGTH = Struct("<Q")


def send(stream: BinaryIO, value: Any) -> None:
    """Raises `OSError` where nobody reads any more."""
    content = marshal.dumps(value)
    stream.write(LENGTH.pack(len(content)) + content)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """The next value; raises `EOFError` where the other side has ended."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (size,) = LENGTH.unpack(head)
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    # Of a process that was started by the other one; it is bounded, but not a stranger.
    return marshal.loads(content)  # noqa: S302


class Shared(io.RawIOBase):
    """A file that another process has open as well: it is read by places, so that nobody's place is moved."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._at = descriptor, 0

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = os.preadv(self._descriptor, [buffer], self._at)
        self._at += read
        return read

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}
        self._at = base[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at


class Asked(NamedTuple):
    """A question, and the file that came with it."""

    value: Any
    file: Shared | None = None

    def opened(self) -> Shared:
        assert self.file is not None
        return self.file
