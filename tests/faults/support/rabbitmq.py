"""RabbitMQ, from Debian's package, as a process of the test's own: name, ports and files."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import free_port, wait_until

PROGRAMS = Path("/usr/lib/rabbitmq/bin")


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """A server that nobody else uses; yields its address. `make faults` installs the package."""
    assert PROGRAMS.is_dir(), (
        "RabbitMQ is not installed: `apt-get install rabbitmq-server`, as `make faults` does"
    )
    folder.mkdir()
    port = free_port()
    environment = os.environ | {
        "HOME": str(folder),  # of Erlang's cookie
        "RABBITMQ_NODENAME": f"penstock{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    output = folder / "output"
    with output.open("wb") as log:
        server = subprocess.Popen(
            [PROGRAMS / "rabbitmq-server"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(
            lambda: b"completed with" in output.read_bytes() or server.poll() is not None,
            seconds=60,
            what="RabbitMQ has started",
        )
        assert server.poll() is None, output.read_text()
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        wait_until(
            lambda: _ended(environment), what="Erlang's port mapper, which outlives its node, has ended"
        )


def _ended(environment: dict[str, str]) -> bool:
    """It refuses while it knows a node."""
    said = subprocess.run(["epmd", "-kill"], env=environment, check=False, capture_output=True).stdout
    return b"Killed" in said or b"Cannot connect" in said
