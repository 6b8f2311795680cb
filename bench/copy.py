"""How long `penstock copy` takes, and in how much memory: PostgreSQL to SQLite, and back to PostgreSQL.

The database holds one ended job of so many records, each with its input, answer and call, and what such a job
has besides.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from bench import servers
from bench.filled import fill
from models import migrate, session


def copied(source: str, target: str) -> str:
    """Seconds and memory of the command, and what it said."""
    began = time.monotonic()
    command = [sys.executable, "-m", "app.cli", "copy", "--from", source, "--to", target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    seconds = time.monotonic() - began
    return f"{seconds:.0f} s, {used.ru_utime:.0f} s of a core, {used.ru_maxrss / 1024:.0f} MB: {said}"


def beside(url: str) -> str:
    """Another database of the same server."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE copied")
    return url.replace("penstock_template", "copied")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    records = parser.parse_args().records
    with servers.database("postgresql") as url, tempfile.TemporaryDirectory() as folder:
        migrate.upgrade(url)
        os.environ["DATABASE_URL"] = url
        from app.core.accounts import api_keys

        session.in_transaction(
            lambda opened: api_keys.create(opened, "bench", name="bench", scopes=["admin"])
        )
        session.close_engine()
        fill(url, 1, records)
        file = Path(folder) / "penstock.db"
        there = copied(url, f"sqlite:///{file}")
        print(f"PostgreSQL to SQLite ({file.stat().st_size / 1e6:,.0f} MB): {there}", flush=True)
        print(f"SQLite to PostgreSQL: {copied(f'sqlite:///{file}', beside(url))}", flush=True)


if __name__ == "__main__":
    main()
