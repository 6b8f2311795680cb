"""The message and exit code of a command that fails."""

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from app.cli import wrapping
from app.cli.phrases import for_terminal
from app.errors import BadInput, PenstockError, StackRefused
from config import settings
from config.settings import BadSetting

FAILED = 1
BAD_INPUT = 2
SOME_FAILED = 3
INTERRUPTED = 130
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)  # of standard output: a file is named by its error
REFUSES_INPUT = (400, 413, 422)  # statuses of responses
TOLD = 20  # problems of an input


def report(error: BaseException) -> int:
    """Print what went wrong, without a traceback unless it is a bug; returns the exit code."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, click.Abort):
        click.secho("stopped", err=True)
        return INTERRUPTED
    if _is_database(error):
        cause = " ".join(str(getattr(error, "orig", error)).split())
        say(f"the database cannot be used ({cause}): {_what_to_do(error)}")
        return FAILED
    if isinstance(error, OSError) and error.filename:
        say(f"{error.filename}: {error.strerror}{_whose(Path(error.filename))}")
        return FAILED
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        say(f"the output cannot be written: {error.strerror}")
        return FAILED
    if not isinstance(error, PenstockError | BadSetting):
        raise error
    say(str(error))
    details: Mapping[str, Any] = getattr(error, "details", {})
    _list_problems(details.get("problems", ()), details.get("more", 0))
    return _code(error)


def _is_database(error: BaseException) -> bool:
    """Whether it did not answer, is no database, or lacks its tables; checked without importing anything."""
    library = sys.modules.get("sqlalchemy.exc")
    if library is None:
        return False
    is_none = type(error) is library.DatabaseError  # SQLite's word for a file of another kind
    return is_none or isinstance(error, library.OperationalError | library.ProgrammingError)


def _what_to_do(error: BaseException) -> str:
    """It is another role's, lacks tables, is held by somebody, is not there, or does not answer."""
    said = str(error)
    if "permission denied" in said or "must be owner" in said:
        return "name the role that owns it in DATABASE_URL, or make one with `createdb --owner=ROLE NAME`"
    if "unable to open database file" in said:
        return "run `penstock migrate` if there is none yet, or check DATABASE_URL and who may write there"
    if "ProgrammingError" in type(error).__name__ or "no such table" in said or "no such column" in said:
        return "run `penstock migrate`"
    if "lock timeout" in said or "is locked" in said:
        return "somebody holds what this needs: run it again, and if it stays so end that transaction"
    if "does not exist" in said or "not a database" in said:
        return "check DATABASE_URL, or create the database first"
    return "check DATABASE_URL, and that its server is running"


def _whose(path: Path) -> str:
    """Where a path comes from that nobody typed."""
    try:
        data = settings.read(os.environ).data
    except BadSetting:
        return ""
    if path != data and data not in path.parents and path not in data.parents:
        return ""
    return ": give another directory in PENSTOCK_DATA"


def say(message: str) -> None:
    if sys.argv[1:2] == ["up"] and _is_logged(message):  # the only command that is a service
        return
    head = "error: "
    wrapping.paragraph(
        for_terminal(message),
        head=head,
        styled_head=click.style(head, fg="red", bold=True),
        indent=" " * len(head),
        err=True,
    )


def _is_logged(message: str) -> bool:
    """Whether it is a line of the log, where that is JSON."""
    from config import logs  # not needed at startup

    if logs.likely_form() != "json":
        return False
    logs.say_refused(message)
    return True


def _list_problems(problems: Any, more: int) -> None:
    """One line each; a single problem is already the message."""
    if len(problems) < 2:
        return
    for problem in problems[:TOLD]:
        problem_text = for_terminal(f"{problem['where']}: {problem['message']}")
        wrapping.paragraph(problem_text, head="  ", indent="    ", err=True)
    hidden = max(len(problems) - TOLD, 0) + more
    if hidden > 0:
        click.echo(f"  … and {hidden:,} more", err=True)


def _code(error: BaseException) -> int:
    if isinstance(error, BadInput | BadSetting):
        return BAD_INPUT
    return BAD_INPUT if isinstance(error, StackRefused) and error.status in REFUSES_INPUT else FAILED
