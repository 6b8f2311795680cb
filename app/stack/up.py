"""`penstock up`: everything that a batch needs, in one command."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from app.core.monitoring.broker import check_redis
from app.errors import Unavailable
from app.providers import registry
from app.stack import broker, copies, first, ownership
from app.stack.family import MARGIN, Family, environment
from app.stack.keeper import Keeper
from app.stack.listen import address, listen
from app.stack.lock import Lock, Running
from app.stack.ready import wait_until_ready
from app.stack.supervisor import Supervisor
from config import private, settings
from config.secret_files import is_given
from config.settings import Settings
from models import session

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
VOLATILE = "volatile-"  # begins the name of a folder whose database lives as long as its stack


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of the command line. `parent` is the process on whose behalf it runs, if any."""

    host: str
    port: int
    workers: int
    began: float  # monotonic: when the stack was requested
    parent: int | None = None


def up(wanted: Wanted, say: Callable[[str], None]) -> None:
    """Run the stack until a stop is requested. Raises `Refused` when it cannot start."""
    os.umask(private.UMASK)  # for the children's files, too
    if settings.read(os.environ).database_url:
        _run(wanted, say)
        return
    data = settings.read(os.environ).data
    data.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=VOLATILE, dir=data) as folder:
        os.environ["DATABASE_URL"] = f"sqlite:///{folder}/batch.db"
        say("WARNING: BATCH_PERSISTENCE_BACKEND=memory: jobs and results are lost when this stack stops")
        _run(wanted, say)


def _run(wanted: Wanted, say: Callable[[str], None]) -> None:
    chosen = settings.read(os.environ)
    private.keep(chosen)
    lock = Lock(chosen.data)
    _outlive_the_last(lock, chosen, say)
    _remove_left_databases(chosen)
    listener = listen(wanted.host, wanted.port)
    embedded = None if is_given("REDIS_URL", os.environ) else broker.prepare(chosen.data)
    os.environ.update(environment(chosen, embedded))
    chosen = settings.current()
    if embedded is None:
        check_redis()
    asks_claude = _asks_a_real_model(chosen)
    attached = wanted.parent is not None
    running = Running(os.getpid(), address(listener), chosen.redis_url, asks_claude, attached=attached)
    lock.tell(running)
    first.migrate(chosen.database_url, say)
    is_alone = chosen.is_sqlite and embedded is not None
    ownership.settle(chosen.data, say, for_one_command=attached, is_alone=is_alone)
    watch = partial(ownership.watch, chosen.data, say)
    _greet(running, chosen, embedded is not None, say)

    supervisor = Supervisor(Keeper(chosen.grace + MARGIN), say, parent=wanted.parent, chore=watch)
    supervisor.obey_signals()
    family = Family(chosen, lock.processes)
    try:
        workers = _start(supervisor, family, embedded, listener.fileno(), wanted.workers)
        if wait_until_ready(supervisor, running.address, workers, wanted.began, say):
            lock.tell(replace(running, ready=True))
            if not attached:
                _invite(running, chosen, say)
        supervisor.watch()
    finally:
        say(
            "stopping: the web first, then the workers when their calls have ended; press Ctrl-C again to"
            " stop faster"
        )
        listener.close()
        supervisor.stop()
        watch()
    say("stopped")


def _remove_left_databases(chosen: Settings) -> None:
    """Those of stacks that were to forget everything when they stopped, and were killed."""
    for folder in chosen.data.glob(f"{VOLATILE}*"):
        if not chosen.database_url.startswith(f"sqlite:///{folder}/"):
            shutil.rmtree(folder, ignore_errors=True)


def _outlive_the_last(lock: Lock, chosen: Settings, say: Callable[[str], None]) -> None:
    """After a kill -9 the processes of the last stack may still be ending; the broker's files are theirs."""
    if not lock.is_clear():
        say("waiting for the processes of a killed stack to end")
        lock.wait_for_the_last(chosen.grace + 2 * MARGIN)


def _start(
    supervisor: Supervisor, family: Family, embedded: broker.Broker | None, listener: int, workers: int
) -> set[str]:
    """Start broker, control worker, slice workers, web; they end in reverse order.

    Returns the workers' names.
    """
    if embedded:
        child = family.broker(embedded)
        supervisor.add(child)
        answers = supervisor.wait_until(embedded.answers, broker.ANSWER_SECONDS)
        if not answers and not supervisor.asked:
            raise Unavailable(f"the embedded broker does not answer: see {child.log} ({child.last_words()})")
    if copies.POSSIBLE:
        session.close_engine()
        copies.prepare()
    if supervisor.asked:
        return set()
    slices = [family.slices(number) for number in range(1, workers + 1)]
    control = family.control()
    supervisor.add(control)
    supervisor.add(*slices)
    supervisor.add(family.web(listener))
    return {child.name for child in (control, *slices)}


def _greet(running: Running, chosen: Settings, embedded: bool, say: Callable[[str], None]) -> None:
    database = "SQLite" if chosen.is_sqlite else "the database in DATABASE_URL"
    redis = "an embedded broker" if embedded else "the Redis in REDIS_URL"
    say(f"Penstock  {running.address}")
    say(f"page      {running.address}/ui")
    say(f"docs      {running.address}/docs")
    say(f"data      {chosen.data} ({database}, {redis})")
    say(f"logs      {chosen.data / 'logs'}")
    kept, made = first.key(chosen.data)
    # What is not a terminal is a journal or a log, which more people can read than the file.
    say(f"API key   {f'{made}, kept in ' if made and sys.stdout.isatty() else 'in '}{kept}")
    _say_who_answers(chosen, say)


def _invite(running: Running, chosen: Settings, say: Callable[[str], None]) -> None:
    """Print the link that signs a browser in; whoever reads it later finds it used, or too old."""
    host = urlsplit(running.address).hostname
    token = first.invitation(chosen.data / first.FILE) if host in LOOPBACK else None
    session.close_engine()  # this process goes on to start others
    if token is not None:
        say(f"open      {running.address}/ui/enter?token={token}  (signs you in, once, within a minute)")


def _asks_a_real_model(chosen: Settings) -> bool:
    """Whether a request that names no model can be answered by one."""
    return registry.real_by_default(chosen).lacks(chosen) is None


def _say_who_answers(chosen: Settings, say: Callable[[str], None]) -> None:
    """What becomes of requests that name no model, unless a real one answers them."""
    model = chosen.default_model
    provider = registry.find(model)
    lacks = None if provider is None else provider.lacks(chosen)
    if provider is registry.SIMULATED:
        say("the model `simulated` answers requests that name no model (DEFAULT_MODEL), with invented text")
    elif lacks is not None:
        say(
            f"{lacks.state}: requests that name no model are rejected, as `{model}`"
            " (DEFAULT_MODEL) needs it; start with DEFAULT_MODEL=simulated to try every contract with"
            " invented answers"
        )
