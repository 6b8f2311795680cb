"""Bytes that wait: a body for its end, an answer for its reader. A few in memory, more in a file."""

from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from gunicorn.http.unreader import Unreader

from app.server.bounds import IN_MEMORY, RECEIVED


class Spool:
    """Written at its end, read from its start. The file is in `folder`, with mode 0600 and without a name."""

    def __init__(self, folder: Path) -> None:
        self.size = 0  # bytes written
        self.read = 0
        self._file: IO[bytes] = SpooledTemporaryFile(IN_MEMORY, dir=str(folder))  # noqa: SIM115

    @property
    def left(self) -> int:
        return self.size - self.read

    def write(self, data: bytes | memoryview) -> None:
        """Raises `OSError` when the disk is full."""
        self._file.seek(self.size)
        self._file.write(data)
        self.size += len(data)

    def take(self, count: int) -> bytes:
        """The next bytes, up to `count`."""
        data = self.peek(count)
        self.read += len(data)
        return data

    def peek(self, count: int) -> bytes:
        self._file.seek(self.read)
        return self._file.read(count)

    def close(self) -> None:
        self._file.close()


class Replay(Unreader):
    """Hands a request that was received to gunicorn's parser: its head, then its body."""

    def __init__(self, head: bytes, body: Spool) -> None:
        super().__init__()
        self.buf.write(head)
        self._body = body

    def chunk(self, size_hint: int | None = None) -> bytes:
        return self._body.take(min(max(size_hint or 0, IN_MEMORY), RECEIVED))
