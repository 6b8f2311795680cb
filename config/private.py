"""What Penstock keeps on disk is for its own user alone: directories 0700, files 0600, whoever makes them.

Prompts, answers and keys are in there. Every process that writes calls `keep` before it does.
"""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from config.settings import Settings

UMASK = 0o077
OTHERS = 0o077  # the bits of a mode that are for group and others
SHARED = stat.S_ISVTX | stat.S_ISGID  # of a directory that several users or a group share on purpose
# What is kept in PENSTOCK_DATA, also by earlier releases. A directory with anything else is not ours alone.
NAMES = (
    *("penstock.db*", "batch.db*", "batch_jobs", "blobs", "broker", "logs", "demo", "tmp*", "volatile-*"),
    *("api-key*", "up.lock", "processes.lock", "beat-schedule*", "runs", "written", "secret-key*"),
)
SQLITE_PARTS = ("", "-wal", "-shm", "-journal")
SQLITE_HEADER = b"SQLite format 3\0"

log = logging.getLogger(__name__)


def keep(chosen: Settings) -> None:
    """Close what this user has on disk to others; what this process makes from now on is closed at once."""
    os.umask(UMASK)
    for path in ours(chosen):
        mode = _mode(path)
        if mode is None or not mode & OTHERS:
            continue
        try:
            path.chmod(mode & ~OTHERS)
        except OSError as error:
            log.warning("%s stays open to other users of this machine: %s", path, error.strerror)
        else:
            log.warning("%s was open to other users of this machine (mode %04o): closed", path, mode)


@contextmanager
def closed_to_others() -> Iterator[None]:
    """For a command whose other files are its user's own matter: only what the block makes is closed."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def ours(chosen: Settings) -> Iterator[Path]:
    """What may be closed: it belongs to this user and is plainly Penstock's."""
    kept = [path for path in _entries(chosen.data) if _is_known(path)]
    folder = [chosen.data] if is_ours_alone(chosen.data) else []
    for path in [*folder, *kept, *_sqlite(chosen.database_url)]:
        try:
            found = path.lstat()
        except OSError:
            continue
        if found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode):
            yield path


def exposed(chosen: Settings) -> Iterator[Path]:
    """What other users of this machine can read or enter: the directory, or a database somewhere else."""
    if (_mode(chosen.data) or 0) & OTHERS:
        yield chosen.data
    for path in _sqlite(chosen.database_url):
        if path.parent != chosen.data and (_mode(path.parent) or 0) & OTHERS and (_mode(path) or 0) & OTHERS:
            yield path


def is_ours_alone(folder: Path) -> bool:
    """Whether a directory holds nothing but what Penstock makes; one that others share must stay open."""
    return not (_mode(folder) or 0) & SHARED and all(_is_known(path) for path in _entries(folder))


def _is_known(path: Path) -> bool:
    return any(fnmatchcase(path.name, name) for name in NAMES)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _sqlite(url: str) -> list[Path]:
    """The files of a SQLite database; an address may name any other file by mistake, which stays as it is."""
    scheme, _, path = url.partition(":///")
    name = path.partition("?")[0]
    if not scheme.startswith("sqlite") or not name or name == ":memory:" or not _may_be_sqlite(Path(name)):
        return []
    return [Path(name + part) for part in SQLITE_PARTS]


def _may_be_sqlite(path: Path) -> bool:
    """Whether it is a database, or empty as a new one is until something is written to it."""
    try:
        if not path.is_file():  # a pipe would keep whoever opens it waiting
            return False
        with path.open("rb") as file:
            return file.read(len(SQLITE_HEADER)) in (b"", SQLITE_HEADER)
    except OSError:
        return False


def _mode(path: Path) -> int | None:
    """The permissions of a path; None where there is none."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
