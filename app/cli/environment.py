"""What a command takes from where it is started: text in UTF-8 whatever the locale, and the file `.env`."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path

import click

from app.errors import BadInput
from config import endpoints
from config.secret_files import ENDING
from config.settings import Settings
from config.variables import names

FILE = ".env"  # in the current directory
OTHERS = ("AWS_", "OTEL_")  # of variables that libraries read: an object store's, a collector's


def use_utf8() -> None:
    """Start this program again in Python's UTF-8 mode, where the locale knows nothing but ASCII.

    In such a locale (`LC_ALL=POSIX` with `PYTHONUTF8=0`) even the arguments were decoded wrongly. The
    processes that this one starts inherit the mode. In other locales, what they cannot show is replaced.
    """
    if sys.getfilesystemencoding() == "ascii" and not sys.flags.utf8_mode:
        sys.stdout.flush()
        command = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONUTF8": "1"})  # noqa: S606 - this program
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="replace")


def read_file() -> None:
    """Add Penstock's variables in `.env` to the environment, and say on standard error which they are.

    What the environment has already stays, even if it is empty. Other variables are left alone: the file may
    be that of another program in the same directory.
    """
    file = Path(FILE)
    if not file.is_file():
        return
    found = _values(file)
    ours = names(Settings) | endpoints.key_variables(
        os.environ.get(endpoints.FILE, found.get(endpoints.FILE, ""))
    )
    taken = [name for name in found if _is_among(ours, name) and name not in os.environ]
    os.environ.update({name: found[name] for name in taken})
    if given := [name for name in taken if found[name]]:
        click.secho(f"from {FILE}: {', '.join(given)}", dim=True, err=True)


def _values(file: Path) -> dict[str, str]:
    from dotenv import dotenv_values  # only where there is a file

    try:
        found = dotenv_values(file, interpolate=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file.resolve()} cannot be read ({error}): save it as UTF-8, or remove it") from None
    return {name: value or "" for name, value in found.items()}


def _is_among(ours: frozenset[str], name: str) -> bool:
    """Whether a variable is one of ours, names the file of one, or belongs to a library."""
    return name in ours or name.removesuffix(ENDING) in ours or name.startswith(OTHERS)
