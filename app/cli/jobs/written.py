"""The file of answers: written whole or not at all, and never over what a run did not write itself."""

import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from app.errors import BadInput
from config.private import closed_to_others

BINARY = ("xlsx", "parquet")
FOLDER = "written"  # in the data directory: what was written where


def check(out: Path) -> None:
    """Raise `BadInput` unless a file can be written there; its name is not touched."""
    if out.is_dir():
        raise BadInput(f"{out} is a directory: name a file in it with -o")
    if not out.parent.is_dir():
        raise BadInput(f"{out.parent} is not a directory: create it, or choose another with -o")
    part = _part(out)
    try:
        part.touch(exist_ok=False)
        part.unlink()
    except OSError as error:
        raise BadInput(
            f"{out.parent} cannot be written to ({error.strerror}): choose another place for the answers"
            " with -o"
        ) from None


def write(
    out: Path, fill: Callable[[BinaryIO], Path], fingerprint: str, data: Path
) -> tuple[Path, Path | None]:
    """Put what `fill` writes in the place that it returns, `out` or next to it, for the run with this
    fingerprint.

    Returns the place, and where the file that was there is kept, if it was not the unchanged work of an equal
    run.
    """
    part = _part(out)
    try:
        with part.open("xb") as to:
            out = fill(to)
        digest = _digest(part)
        kept = _keep_aside(out, digest, fingerprint, data)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    _remember(out, digest, fingerprint, data)
    return out, kept


def check_stdout(format: str) -> None:
    """Raise `BadInput` where standard output is a terminal that would show the bytes of a workbook."""
    if format in BINARY and sys.stdout.isatty():
        raise BadInput(f"answers in {format.upper()} are no text for a terminal: name a file with -o")


def to_stdout(fill: Callable[[BinaryIO], object]) -> None:
    """Put what `fill` writes on standard output, once it is whole."""
    with TemporaryFile() as whole:
        fill(whole)
        whole.seek(0)
        pipe(partial(shutil.copyfileobj, whole))


def pipe(fill: Callable[[BinaryIO], object]) -> None:
    """What `fill` writes to standard output, for as long as somebody reads it."""
    try:
        fill(sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more


def _part(out: Path) -> Path:
    """A name of this process's own, next to `out`: two equal runs may write at once."""
    return out.with_name(f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def _keep_aside(out: Path, digest: str, fingerprint: str, data: Path) -> Path | None:
    """Rename `out` unless nothing is lost with it."""
    if not out.exists():
        return None
    found = _digest(out)
    if found == digest or _note(out, data) == {"fingerprint": fingerprint, "digest": found}:
        return None
    names = (out.with_name(f"{out.stem}.{number}{out.suffix}") for number in count(1))
    kept = next(name for name in names if not name.exists())
    out.rename(kept)
    return kept


def _note(out: Path, data: Path) -> object:
    try:
        return json.loads(_place(out, data).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _remember(out: Path, digest: str, fingerprint: str, data: Path) -> None:
    place = _place(out, data)
    note = json.dumps({"fingerprint": fingerprint, "digest": digest})
    try:
        with closed_to_others():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(note, encoding="utf-8")
    except OSError:
        pass  # the next run keeps the file aside


def _place(out: Path, data: Path) -> Path:
    return data / FOLDER / f"{hashlib.sha256(os.fsencode(out.resolve())).hexdigest()[:32]}.json"


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
