"""The processes of a stack, and the environment of each."""

from pathlib import Path

from app.stack import broker, commands, copies
from app.stack.child import Child, rotate
from config.settings import Settings

MARGIN = 10  # seconds that a worker gets in addition to its calls' grace period
BEHIND = 10  # niceness of slice workers: when every core is busy, the other processes come first


class Family:
    """The children of one stack. Each holds the lock that shows when the last of them has ended."""

    def __init__(self, chosen: Settings, lock: int) -> None:
        self._settings, self._lock = chosen, lock

    def broker(self, embedded: broker.Broker) -> Child:
        return self._child("broker", commands.broker(broker.binary(), embedded.configuration), patience=10)

    def control(self) -> Child:
        return self._worker("control", commands.control_worker())

    def slices(self, number: int) -> Child:
        child = self._worker(f"slice{number}", commands.slice_worker(number))
        child.niceness = BEHIND
        return child

    def web(self, listener: int) -> Child:
        patience = commands.GRACEFUL_WEB + 5
        command = commands.web(listener, self._settings.api_workers, self._settings.web_threads)
        return self._own("web", command, patience=patience, inherits=(listener,))

    def _worker(self, name: str, command: list[str]) -> Child:
        return self._own(name, command, patience=self._settings.grace + MARGIN)

    def _own(
        self, name: str, command: list[str], *, patience: float, inherits: tuple[int, ...] = ()
    ) -> Child:
        """One of our own processes, which can be a fork of this one."""
        child = self._child(name, command, patience=patience, inherits=inherits)
        child.copied = copies.POSSIBLE
        return child

    def _child(
        self, name: str, command: list[str], *, patience: float, inherits: tuple[int, ...] = ()
    ) -> Child:
        log = self._settings.data / "logs" / f"{name}.log"
        rotate(log)
        return Child(name, command, log, patience, (self._lock, *inherits))


def environment(chosen: Settings, embedded: broker.Broker | None) -> dict[str, str]:
    """What every process of the stack must see alike, including defaults and relative paths."""
    return {
        "PENSTOCK_DATA": str(chosen.data),
        "DATABASE_URL": _absolute(chosen.database_url),
        "REDIS_URL": embedded.url if embedded else chosen.redis_url,
        **({"BATCH_JOB_STORAGE_PATH": str(chosen.status_files)} if chosen.status_files else {}),
    }


def _absolute(url: str) -> str:
    """A relative SQLite path is relative to the command's directory, not to its children's."""
    from sqlalchemy import make_url

    parts = make_url(url)
    if parts.get_backend_name() != "sqlite" or not parts.database or parts.database == ":memory:":
        return url
    return parts.set(database=str(Path(parts.database).resolve())).render_as_string(hide_password=False)
