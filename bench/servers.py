"""What a benchmark runs on: real servers of its own."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.support import servers


@contextmanager
def provider(seconds: float = 0) -> Iterator[str]:
    """The address of a provider that answers each request after so many seconds (`bench.upstream`)."""
    command = [sys.executable, "-m", "bench.upstream", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextmanager
def database(kind: str) -> Iterator[str]:
    """The address of an empty database of a kind."""
    if kind == "postgresql":
        with servers.postgres_server(durable=True) as server:
            # So that a benchmark can ask when a row was there for everybody to see.
            with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
            server.restart()
            yield server.url
        return
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/penstock.db"
