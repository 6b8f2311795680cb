"""The commands that use the stack of a data directory, each for as long as it lives.

A command holds a lock on a file named by its id. The lock is gone with its process, however that one ends, so
a killed command is known from a file that nobody holds: the stack pauses its job, at once if it is running,
else when the next one starts.
"""

import fcntl
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FOLDER = "runs"
SUFFIX = ".lock"


class Run:
    """This command, until `end` or the end of its process."""

    def __init__(self, data: Path) -> None:
        self.id = uuid.uuid4().hex
        folder = data / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{self.id}{SUFFIX}"
        # Locked before it has its name: until then a stack would take it for that of a dead command.
        self._fd: int | None
        self._fd, part = tempfile.mkstemp(dir=folder, suffix=".part")
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        Path(part).rename(self._path)

    def end(self) -> None:
        """Its job has ended, or was paused. May be called again."""
        self._path.unlink(missing_ok=True)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def lives(data: Path, id: str) -> bool:
    """Whether the command with this id still runs."""
    return _is_held(data / FOLDER / f"{id}{SUFFIX}")


def dead(data: Path) -> set[str]:
    """The ids of the commands that ended without a word, until `forget`."""
    return {path.stem for path in _files(data) if not _is_held(path)}


def forget(data: Path, ids: set[str]) -> None:
    """Their jobs are paused."""
    for name in ids:
        (data / FOLDER / f"{name}{SUFFIX}").unlink(missing_ok=True)


def _files(data: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from [path for path in (data / FOLDER).iterdir() if path.suffix == SUFFIX]


def _is_held(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # it has just ended
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)
