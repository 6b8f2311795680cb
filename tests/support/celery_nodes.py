"""pytest-celery's nodes over local processes: a container is what has docker's calls, and a process may."""

import os
import signal
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery
from pytest_celery import CeleryTestWorker, CeleryWorkerContainer

from tests.support.forked_processes import Forked
from tests.support.servers import wait_until

PROJECT = Path(__file__).parents[2]


class LocalProcess:
    """What `pytest_docker_tools.wrappers.Container` asks of a docker container, done by a child process."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.id = uuid.uuid4().hex
        self.name = log.stem
        self.attrs: dict[str, Any] = {
            "Config": {"Hostname": "127.0.0.1", "Env": []},
            "HostConfig": {"PortBindings": {}},
            "NetworkSettings": {"Networks": {}, "Ports": {}},
        }
        self._arguments = [part.replace("%h", self.id[:12]) for part in arguments]
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._log = log
        self.start()

    def start(self) -> None:
        self._asked_to_end = False
        self._log.touch()
        self.process = Forked("celery", self._arguments, PROJECT, self._environment, self._log)

    @property
    def status(self) -> str:
        return "running" if self.process.poll() is None else "exited"

    def reload(self) -> None:
        self.process.poll()

    def logs(self, **_: Any) -> bytes:
        return self._log.read_bytes()

    def kill(self, signal: str | int | None = None) -> None:
        self.process.send_signal(_number(signal))
        if _number(signal) == 9:
            self.process.wait()

    def terminate(self) -> None:
        """Ask it to end, once: an impatient second signal is not what stops a worker in production."""
        if self.process.poll() is None and not self._asked_to_end:
            self._asked_to_end = True
            self.process.terminate()

    def stop(self, timeout: float = 40) -> None:
        """End it, as a supervisor does: what has not ended by then is killed."""
        self.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def restart(self, timeout: float = 40) -> None:
        self.stop(timeout)
        self.start()


def _number(name: str | int | None) -> int:
    if isinstance(name, str):
        return signal.Signals[name].value
    return signal.SIGKILL.value if name is None else int(name)


class PenstockWorker(CeleryWorkerContainer):
    """A worker as users of Celery start it: without options it serves both queues."""

    queue = ""
    options: tuple[str, ...] = ()

    @classmethod
    def start(cls, name: str, environment: dict[str, str], folder: Path) -> "PenstockWorker":
        selected = ["-Q", cls.queue] if cls.queue else []
        arguments = ["-A", "tasks", "worker", "-n", f"{name}@%h", *selected, *cls.options]
        return cls(LocalProcess(arguments, environment, folder / f"{name}.log"))

    def teardown(self) -> None:
        self._container.stop()


class SliceWorker(PenstockWorker):
    queue = "slices"


class ControlWorker(PenstockWorker):
    """With beat in it, as `penstock up` has it."""

    queue = "control"
    options = ("-c", "8", "-B")


def launch(
    kind: type[PenstockWorker], name: str, environment: dict[str, str], folder: Path, app: Celery
) -> CeleryTestWorker:
    """A worker's process; it takes tasks once `await_ready` has returned.

    Kill it with `node.kill()`, stop it with `node.teardown()`.
    """
    return CeleryTestWorker(kind.start(name, environment, folder), app=app)


def await_ready(node: CeleryTestWorker) -> None:
    process = node.container._container
    wait_until(
        lambda: process.status == "exited" or b"ready." in process.logs(),
        seconds=60,
        what=f"worker {process.name} is ready",
    )
    assert process.status == "running", process.logs().decode()
