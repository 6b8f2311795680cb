"""What a job is made of, as it goes to the server."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, Any

from penstock_client.wire import Part

BLOCK = 1_000_000  # bytes


class Given(ABC):
    """What is uploaded; `digest` identifies it."""

    asked_by = "template"  # the job's field for the prompt
    digest = ""
    rows: Any = None  # the frame that the lines were made of, if they were

    @property
    def name(self) -> str | None:
        """Of a job."""
        return None

    @abstractmethod
    def parts(self) -> list[Part]:
        """The files of the form, from their beginning."""

    def row(self, index: int) -> Any:
        """The row as it was sent; None where only the server knows."""
        return None


class Content(Given):
    """One file: `content` under `filename`."""

    def __init__(self, content: IO[bytes], filename: str) -> None:
        self.content, self.filename = content, filename

    def __del__(self) -> None:
        """A run is read for as long as somebody has it."""
        if hasattr(self, "content"):  # not of a file that could not be opened
            self.content.close()

    def parts(self) -> list[Part]:
        self.content.seek(0)
        return [("file", (self.filename, self.content))]


class File(Content):
    """A sheet, or a file of lines, that the server reads."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("rb"), path.name)
        self.digest = digest_of(self.content)

    @property
    def name(self) -> str | None:
        return as_name(self.filename)


def digest_of(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := content.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


def as_name(text: str) -> str:
    """A text as the name of a job."""
    return "".join(filter(str.isprintable, text))[:255]
