"""A folder of documents, sent as they are read."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import IO, Any, cast

from penstock_client.given import Given, as_name, digest_of
from penstock_client.wire import Part


class Folder(Given):
    """Documents, each a record: all files of a folder and of those below it, but hidden ones."""

    asked_by = "prompt"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = sorted(
            path for path in folder.rglob("*") if path.is_file() and not self._is_hidden(path)
        )
        digest = hashlib.sha256()
        for file in self._files:
            with file.open("rb") as content:
                digest.update(f"{self._of(file)} {digest_of(content)}\n".encode())
        self.digest = digest.hexdigest()

    @property
    def name(self) -> str | None:
        return as_name(self._folder.resolve().name)

    def parts(self) -> list[Part]:
        return [("document", (self._of(file), cast("IO[bytes]", OnDemand(file)))) for file in self._files]

    def row(self, index: int) -> Any:
        return {"file": self._of(self._files[index])} if index < len(self._files) else None

    def _of(self, file: Path) -> str:
        return file.relative_to(self._folder).as_posix()

    def _is_hidden(self, file: Path) -> bool:
        return any(part.startswith(".") for part in file.relative_to(self._folder).parts)


class OnDemand(io.RawIOBase):
    """A file that is open only while it is read: a folder may have more than a process may open."""

    def __init__(self, path: Path) -> None:
        self._path, self._size, self._at = path, path.stat().st_size, 0
        self._content: IO[bytes] | None = None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._let_go()
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        if self._content is None:
            self._content = self._path.open("rb")
            self._content.seek(self._at)
        piece = self._content.read(size)
        self._at += len(piece)
        if not piece:
            self._let_go()
        return piece

    def close(self) -> None:
        self._let_go()
        super().close()

    def _let_go(self) -> None:
        if self._content is not None:
            self._content.close()
            self._content = None
