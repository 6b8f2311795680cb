"""The stack that a command talks to, and the key for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.cli.client import Rest
from app.errors import Unavailable
from app.stack.lock import Running, holder
from config import settings
from config.private import closed_to_others
from config.settings import Settings

START_SECONDS = 180  # until a stack is ready
LOOK = 0.1

Waiting = Callable[[str], AbstractContextManager[object]]  # shows what is waited for, meanwhile


@dataclass(frozen=True, slots=True)
class Target:
    """A stack that answers."""

    rest: Rest
    asks_claude: bool | None  # None: a stack elsewhere, whose keys we cannot know
    is_here: bool = False  # it runs on the data directory
    attached: bool = False  # it ends with a command: with this one, or with one beside it


@contextmanager
def running() -> Iterator[Rest]:
    """The stack at PENSTOCK_URL, or the one running on the data directory."""
    chosen = settings.read(os.environ)
    target = _named(chosen) or _here(chosen)
    if target is None:
        raise Unavailable(
            f"no stack is running on {chosen.data}: start one with `penstock up`, or set PENSTOCK_URL"
        )
    with target.rest as rest:
        yield rest


@contextmanager
def running_or_none() -> Iterator[Rest]:
    """Like `running`, but where no stack runs, this process answers from the database."""
    from app.cli.jobs import offline

    chosen = settings.read(os.environ)
    target = _named(chosen) or _here(chosen)
    if target is None:
        with offline.contract(chosen, partial(_key, chosen)) as rest:
            yield rest
        return
    with target.rest as rest:
        yield rest


@contextmanager
def any_stack(waiting: Waiting) -> Iterator[Target]:
    """Like `running`, but where none runs, an embedded one that ends with the block."""
    chosen = settings.read(os.environ)
    target = _named(chosen) or _here(chosen)
    if target:
        with target.rest:
            yield target
        return
    process = _start(chosen)
    try:
        with waiting("starting the stack for this run"):
            target = _await(process, chosen)
        with target.rest:
            yield target
    finally:
        with waiting("stopping the stack"):
            _stop(process)


def _named(chosen: Settings) -> Target | None:
    """The stack at PENSTOCK_URL."""
    if not chosen.penstock_url:
        return None
    if not chosen.penstock_api_key:
        raise Unavailable(
            f"PENSTOCK_URL is {chosen.penstock_url}: set PENSTOCK_API_KEY to a key of that stack"
        )
    return Target(Rest(chosen.penstock_url, chosen.penstock_api_key), None)


def _here(chosen: Settings) -> Target | None:
    """The stack running on the data directory; one that is just starting is waited for."""
    deadline = time.monotonic() + START_SECONDS
    while (found := holder(chosen.data)) and not found.ready:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the stack of process {found.pid} does not become ready: see {chosen.data / 'logs'}"
            )
        time.sleep(LOOK)
    return _at(found, chosen) if found else None


def _at(found: Running, chosen: Settings) -> Target:
    rest = Rest(found.address, _key(chosen))
    return Target(rest, found.asks_claude, is_here=True, attached=found.attached)


def _key(chosen: Settings) -> str:
    kept = chosen.data / "api-key"
    if chosen.penstock_api_key:
        return chosen.penstock_api_key
    try:
        return kept.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Unavailable(
            f"no API key: {kept} cannot be read ({error.strerror}); set PENSTOCK_API_KEY"
            ' (`penstock keys create --scopes "admin operator"` on the server makes one)'
        ) from None


def _start(chosen: Settings) -> subprocess.Popen[bytes]:
    """Run `penstock up` as a child."""
    log = _log(chosen)
    # -P: the user's directory may have an `app` of its own. The group: this process handles Ctrl-C and stops
    # the stack.
    command = [sys.executable, "-P", "-m", "app.cli", "up", "--port", "0", "--attached"]
    try:
        with closed_to_others():
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("wb")
    except OSError as error:
        raise Unavailable(
            f"{chosen.data} cannot be used ({error.strerror}): set PENSTOCK_DATA to a folder of yours, where"
            " jobs and answers are to be kept"
        ) from None
    with output:
        return subprocess.Popen(  # noqa: S603 - our own command line
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
        )


def _await(process: subprocess.Popen[bytes], chosen: Settings) -> Target:
    """The stack when it is ready; of two that start at once, both runs share the first."""
    deadline = time.monotonic() + START_SECONDS
    while not ((found := holder(chosen.data)) and found.ready):
        if (process.poll() is not None and not found) or time.monotonic() > deadline:
            log = _log(chosen)
            raise Unavailable(f"the stack did not start: see {log}\n{_end_of(log)}")
        time.sleep(LOOK)
    return _at(found, chosen)


def _log(chosen: Settings) -> Path:
    return chosen.data / "logs" / "up.log"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop it cleanly; another Ctrl-C makes it faster."""
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait()
        except KeyboardInterrupt:
            continue


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-5:])
