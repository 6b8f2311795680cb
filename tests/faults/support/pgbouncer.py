"""PgBouncer in transaction mode, from Debian's package, as a process of the test's own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from tests.support.servers import free_port, wait_until

CONFIGURATION = """\
[databases]
* = host={host} port={port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listens}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
ignore_startup_parameters = extra_float_digits
"""


@contextmanager
def pgbouncer(url: URL) -> Iterator[int]:
    """One before the server of `url`; yields its port. `make faults` installs the package."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "PgBouncer is not installed: `apt-get install pgbouncer`, as `make faults` does"
    with tempfile.TemporaryDirectory() as name:
        folder, listens = Path(name), free_port()
        configuration = folder / "pgbouncer.ini"
        text = CONFIGURATION.format(
            host=url.query["host"], port=url.port or 5432, user=url.username, listens=listens, folder=folder
        )
        configuration.write_text(text)
        configuration.chmod(0o644)  # it may be another user who reads it
        command = [*_as_the_owner_of(str(url.query["host"]), folder), program, str(configuration)]
        with (folder / "output").open("wb") as output:
            server = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            wait_until(
                lambda: server.poll() is not None or "process up" in _output(folder), what="PgBouncer starts"
            )
            assert server.poll() is None, _output(folder)
            yield listens
        finally:
            server.terminate()
            server.wait()


def _as_the_owner_of(host: str, folder: Path) -> list[str]:
    """It refuses to run as root: then it is the user whose server is behind it."""
    if os.geteuid() != 0:
        return []
    owner = Path(host).stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    return ["setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"]


def _output(folder: Path) -> str:
    return (folder / "output").read_text()
