"""Which records of a submission ask the same: an index on disk, so that memory does not grow with it."""

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

CACHE = 8_000  # kB of it that are held in memory


class FirstAsked:
    """Finds the first record with a digest. Use it as a context manager; nothing of it is left."""

    def __init__(self, directory: Path) -> None:
        self._folder = TemporaryDirectory(dir=directory, prefix="first-asked-")
        self._index = sqlite3.connect(Path(self._folder.name) / "index", isolation_level=None)
        # What is lost with this process is not needed again.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE}"):
            self._index.execute(f"PRAGMA {pragma}")
        self._index.execute("CREATE TABLE asked (digest BLOB PRIMARY KEY, idx INTEGER) WITHOUT ROWID")
        self._index.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._index.close()
        self._folder.cleanup()

    def find(self, digest: bytes, idx: int) -> int | None:
        """The index of an earlier record with this digest; None for the first, which is noted.

        Asked again for the same record, as after a deadlock, it says the same.
        """
        noted = self._index.execute("INSERT OR IGNORE INTO asked VALUES (?, ?)", (digest, idx))
        if noted.rowcount:
            return None
        first: int = self._index.execute("SELECT idx FROM asked WHERE digest = ?", (digest,)).fetchone()[0]
        return None if first >= idx else first
