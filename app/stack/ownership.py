"""Which jobs a stack goes on with: those of the commands that use it, and, if it lives on, all others."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app.services import runs as jobs_of_commands
from app.stack import runs
from models import session

Say = Callable[[str], None]


def settle(data: Path, say: Say, *, for_one_command: bool, is_alone: bool) -> None:
    """Before any worker takes work. `is_alone`: no other stack serves the database.

    The stack of one command must not spend money on what was submitted to another: that waits.
    """
    dead = runs.dead(data)
    # What is on a database of several machines may belong to a command on another one.
    has_ended = partial(_does_not_live, data) if is_alone else dead.__contains__
    _count(jobs_of_commands.pause_left(has_ended), "of ended commands", say)
    if not for_one_command:
        _count(jobs_of_commands.take_back(), "of an earlier stack", say, "resumed")
    elif is_alone:
        _count(jobs_of_commands.set_aside(), "of an earlier stack", say)
    runs.forget(data, dead)
    session.close_engine()


def watch(data: Path, say: Say) -> None:
    """Pause the jobs of commands that were killed; looks at a folder, and mostly does nothing else.

    No connection is left open: this process forks.
    """
    dead = runs.dead(data)
    if not dead:
        return
    try:
        _count(jobs_of_commands.pause_left(dead.__contains__), "of ended commands", say)
        runs.forget(data, dead)
    except SQLAlchemyError as error:  # the database is away: the next look tries again
        say(f"the job of a command that ended cannot be paused now ({type(error).__name__})")
    finally:
        session.close_engine()


def _does_not_live(data: Path, run: str) -> bool:
    return not runs.lives(data, run)


def _count(jobs: int, whose: str, say: Say, done: str = "paused") -> None:
    if jobs:
        say(f"{jobs} job{'' if jobs == 1 else 's'} {whose} {done}")
