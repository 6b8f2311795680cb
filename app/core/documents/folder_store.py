"""The object store in a folder: one file per key, written under a temporary name, synced and then renamed."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.core.documents.object_store import checked
from app.errors import NotFound, Unavailable

PIECE = 1_000_000  # bytes that are copied at once
FULL = (errno.ENOSPC, errno.EDQUOT)


class FolderStore:
    """The folder is created with its first object.

    Nothing is retried: what a disk refuses (it is full, read-only, broken) it refuses a second later too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, content: BinaryIO) -> None:
        path = self._path(key)
        try:
            _make(path.parent)
            try:
                self._write(path, content)
            except BaseException:
                _part(path).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise self._unavailable(error) from error

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            raise self._absent(key) from None
        except OSError as error:
            raise self._unavailable(error) from error

    def copy(self, key: str, to: BinaryIO) -> None:
        try:
            with self._path(key).open("rb") as file:
                shutil.copyfileobj(file, to, PIECE)
        except FileNotFoundError:
            raise self._absent(key) from None
        except OSError as error:
            raise self._unavailable(error) from error

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        try:
            file = self._path(key).open("rb")
        except FileNotFoundError:
            raise self._absent(key) from None
        except OSError as error:
            raise self._unavailable(error) from error
        with file:
            yield file

    def delete(self, keys: Iterable[str]) -> None:
        for path in map(self._path, keys):
            try:
                path.unlink(missing_ok=True)
                _part(path).unlink(missing_ok=True)  # of a process that was killed while writing
            except OSError as error:
                raise self._unavailable(error) from error
            try:
                path.parent.rmdir()
            except OSError:
                pass  # it holds other keys, or never existed

    def reach(self) -> None:
        try:
            _make(self._folder)
            with tempfile.TemporaryFile(dir=self._folder):
                return
        except OSError as error:
            raise self._unavailable(error) from error

    def prepare(self) -> None:
        self.reach()

    def _path(self, key: str) -> Path:
        return self._folder / checked(key)

    def _write(self, path: Path, content: BinaryIO) -> None:
        content.seek(0)
        with _part(path).open("wb") as file:
            shutil.copyfileobj(content, file, PIECE)
            file.flush()
            os.fsync(file.fileno())
        _part(path).replace(path)
        _sync(path.parent)

    def _absent(self, key: str) -> NotFound | Unavailable:
        """A key's first folder outlives its last object: without it, this is not the disk."""
        first = self._folder / key.partition("/")[0]
        if first.is_dir():
            return NotFound(f"the object store has nothing under {key!r}")
        why = f"there is no folder {first}: its volume is not mounted, or was not restored"
        return Unavailable(f"the object store cannot be used, {why} (OBJECT_STORE_URL)", retry_after=60)

    def _unavailable(self, error: OSError) -> Unavailable:
        why = "its disk is full: free space" if error.errno in FULL else f"{error.strerror}: see its folder"
        return Unavailable(f"the object store cannot be used, {why} (OBJECT_STORE_URL)", retry_after=60)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _make(folder: Path) -> None:
    """Create `folder` durably, so that it survives a crash of the machine."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
