"""Files that foreign code reads and writes: in a process of their own, which the system bounds.

Libraries in C and Rust lay whole files out in memory, or may be led to work for years by a small one. What
they do here costs at most what its `Bounds` say; if it is more, the process ends, and with it nothing else.
"""

import io
import os
import select
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Self, cast
from weakref import finalize

from app.errors import BadInput
from app.ingest.apart import frames
from app.ingest.apart.frames import DONE, FAULT, MISSING

MAIN = "app.ingest.apart.main"
WALL_SECONDS = 60  # without an answer, on a machine that has other things to do
KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TZ")  # of the environment: no keys, no addresses
# Allocators reserve a multiple of what they give, which would count as taken; one thread does all the work.
FRUGAL = {"ARROW_DEFAULT_MEMORY_POOL": "system", "ARROW_IO_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
EXTRAS = {"pyarrow": "parquet"}  # of our package, which install others


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a helper may take."""

    memory: int  # bytes, its own code included
    seconds: int  # of the processor
    each: bool = False  # for each question, not for all of them

    @classmethod
    def for_size(cls, size: int, *, times: int, free: int) -> Self:
        """For a file of `size` bytes that may take so many `times` as much memory, and `free` bytes."""
        return cls(min(free + times * size, 3_000_000_000), min(10 + size // 1_000_000, 60))

    def as_texts(self) -> tuple[str, str, str]:
        return str(self.memory), str(self.seconds), "each" if self.each else "all"


class Helper:
    """A process that does the work of a module of `app.ingest.apart.work`. A context manager.

    `what` begins the sentence of an error.
    """

    def __init__(self, work: str, bounds: Bounds, *, what: str) -> None:
        self._what = what
        self._files, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this program
                [
                    sys.executable,
                    "-m",
                    "app.ingest.apart.main",
                    work,
                    str(theirs.fileno()),
                    *bounds.as_texts(),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=FRUGAL | {name: os.environ[name] for name in KEPT if name in os.environ},
                start_new_session=True,  # Ctrl-C is for processes that can stop in order
            )
        self._end = finalize(self, _end, self._process, self._files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, value: Any = None, file: BinaryIO | None = None) -> Any:
        """What it answers to `value`; None when it is done. `file` is a seekable one that it may read.

        Raises `BadInput` with what it says of its file, because it took more than its bounds, or because a
        package is missing here.
        """
        try:
            frames.send(cast(BinaryIO, self._process.stdin), (value, file is not None))
            if file is not None:
                self._pass_on(file)
            kind, answer = self._receive()
        except (EOFError, OSError):
            self.close()
            raise BadInput(
                f"{self._what}: it takes more memory or time than a file of its size may: split it, or save"
                " it in another format"
            ) from None
        if kind == MISSING:
            extra = EXTRAS.get(answer, answer)
            raise BadInput(
                f"{self._what}: the package {answer} is not installed where Penstock runs:"
                f" `pip install 'penstock[{extra}]'`"
            )
        if kind == FAULT:
            raise BadInput(f"{self._what}: {answer}")
        return None if kind == DONE else answer

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._end()

    def _receive(self) -> Any:
        output = cast(BinaryIO, self._process.stdout)
        poll = select.poll()
        poll.register(output, select.POLLIN)
        if not poll.poll(WALL_SECONDS * 1_000):
            raise EOFError
        return frames.receive(output)

    def _pass_on(self, file: BinaryIO) -> None:
        """Give it the file as it is open here; of a stream in memory a copy."""
        try:
            file.flush()
            socket.send_fds(self._files, [b"f"], [file.fileno()])
        except io.UnsupportedOperation:
            with TemporaryFile() as copy:
                file.seek(0)
                shutil.copyfileobj(file, copy)
                copy.flush()
                socket.send_fds(self._files, [b"f"], [copy.fileno()])


def _end(process: "subprocess.Popen[bytes]", files: socket.socket) -> None:
    process.kill()
    process.wait()
    files.close()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):  # what it did not read
                stream.close()
