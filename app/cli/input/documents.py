"""Folders and files of documents, given as what a command runs on."""

import glob
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from app.errors import BadInput

ENDINGS = (
    *(".pdf", ".png", ".jpg", ".jpeg", ".gif", ".webp"),
    *(".txt", ".md", ".markdown", ".docx", ".html", ".htm"),
)
ALWAYS = frozenset(ENDINGS) - {".txt"}  # a single text file is a table
NAMED = 5  # files that a sentence names


@dataclass(frozen=True)
class Documents:
    """Documents by the names under which they are sent, and what to say of the files that are not."""

    files: dict[str, Path]
    place: Path  # the folder, or the one with the files: the answers go beside it
    skipped: Sequence[str] = ()

    @cached_property
    def digest(self) -> bytes:
        """Of their names and contents, read once."""
        digest = hashlib.sha256()
        for name, path in self.files.items():
            with path.open("rb") as content:
                digest.update(json.dumps([name, hashlib.file_digest(content, "sha256").hexdigest()]).encode())
        return digest.digest()

    @property
    def told(self) -> str:
        """Why they have no quote, and what was left out."""
        why = "no quote: how many tokens a document has is known when it is answered"
        if not self.skipped:
            return why
        more = f" and {len(self.skipped) - NAMED:,} more" if len(self.skipped) > NAMED else ""
        are = "is" if len(self.skipped) == 1 else "are"
        return f"{', '.join(self.skipped[:NAMED])}{more} {are} left out, as no document that is taken; {why}"


def find(given: Sequence[Path]) -> Documents | None:
    """The documents of a folder, a pattern or several files; None where one file of another kind is given.

    Raises `BadInput` where there are none, and for a mixture.
    """
    paths = [path for one in given for path in _matching(one)]
    if len(paths) == 1 and paths[0].is_dir():
        return _of_folder(paths[0])
    if len(paths) == 1 and paths[0].suffix.lower() not in ALWAYS:
        return None
    for path in paths:
        if not path.is_file():
            what = "is not a file: give one folder, or files" if path.exists() else "does not exist"
            raise BadInput(f"{path} {what}")
        if path.suffix.lower() not in ENDINGS:
            raise BadInput(
                f"{path} is no document that a model takes ({', '.join(ENDINGS)}): give a table by itself"
            )
    stem = paths[0].stem if len(paths) == 1 else "documents"
    return Documents(_names(paths), paths[0].parent / stem)


def _matching(given: Path) -> list[Path]:
    """The files that a pattern means, as where a shell left it; else what is given."""
    text = str(given)
    if given.exists() or not glob.has_magic(text):
        return [given]
    found = sorted(map(Path, glob.glob(text, recursive=True)))  # noqa: PTH207 - it may be absolute
    if not found:
        raise BadInput(f"{given}: there is no such file")
    return [path for path in found if path.is_file()]


def _of_folder(folder: Path) -> Documents:
    """Every document in a folder and those below it, hidden ones left out."""
    found, skipped = dict[str, Path](), []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() in ENDINGS:
            found[name] = path
        else:
            skipped.append(name)
    if not found:
        raise BadInput(f"{folder} has no documents: {', '.join(ENDINGS)} are taken")
    return Documents(found, folder, skipped)


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield path


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """Names of files, with their folders where two have the same."""
    names = {path.name for path in paths}
    if len(names) == len(paths):
        return {path.name: path for path in paths}
    return {path.as_posix(): path for path in paths}


class Closed(io.RawIOBase):
    """A file that is open only while it is read: a folder may have more than a process can have open."""

    def __init__(self, path: Path) -> None:
        self._path, self._size = path, path.stat().st_size
        self._content: BinaryIO | None = None
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (self._size if whence == io.SEEK_END else 0)
        self.close_file()
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
            self.close_file()
        return piece

    def close_file(self) -> None:
        if self._content is not None:
            self._content.close()
            self._content = None
