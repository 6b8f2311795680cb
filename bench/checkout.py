"""A Penstock of any checkout under measurement, each time on a fresh copy of the same data."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import cpu
from bench.bystander import Bystander
from tests.support.servers import free_port, wait_until

START_SECONDS = 90
STOP_SECONDS = 40
MEMORY = 8 << 30  # bytes of address space for each process of a stack: it may run out, the machine may not
OTHERS = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "ANTHROPIC_API_KEY")  # no stack but its own


@dataclass
class Stack:
    """A running `penstock up --workers 1` on SQLite."""

    address: str
    pid: int

    def web(self) -> set[int]:
        return set(cpu.Processes(self.pid, "sqlite://").found()["web"])

    def web_seconds(self) -> float:
        """Processor time of the web so far."""
        return cpu.Processes(self.pid, "sqlite://").spent().get("web", 0.0)


class Checkout:
    """Code with its `.venv`; `folder` is for its data. Two tenants have a key each, `alpha` and `beta`."""

    def __init__(self, name: str, root: Path, folder: Path) -> None:
        self.name, self._root, self._folder = name, root.absolute(), folder / name
        self._folder.mkdir(mode=0o700)
        self._run("migrate", data=self._plain)
        self.alpha, self.beta = (self._key(tenant) for tenant in ("alpha", "beta"))

    @contextmanager
    def running(self, data: Path, kept: Path | None = None) -> Iterator[Stack]:
        """A stack on a copy of this data, which is gone afterwards, or kept."""
        copy, port = self._folder / "running", free_port()
        shutil.copytree(data, copy)
        output = self._folder / "up.out"
        with output.open("wb") as written:
            process = subprocess.Popen(
                self._command("up", "--port", str(port), "--workers", "1"),
                **self._settings(copy),
                stdout=written,
                stderr=written,
                start_new_session=True,
            )
        resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))  # its children inherit it
        try:
            wait_until(
                lambda: b"ready after" in output.read_bytes() or process.poll() is not None,
                seconds=START_SECONDS,
                what=f"the stack of {self.name} is ready",
            )
            assert process.poll() is None, output.read_text()
            yield Stack(f"http://127.0.0.1:{port}", process.pid)
        finally:
            end(process)
            shutil.move(copy, kept) if kept else shutil.rmtree(copy)

    @property
    def _plain(self) -> Path:
        return self._folder / "plain"

    def data(self, records: int = 0, jobs: int = 0) -> Path:
        """Data in which alpha has an ended job of so many records, or so many ended jobs, each with a key."""
        if not (records or jobs):
            return self._plain
        made = self._folder / ("records" if records else "jobs")
        if not made.exists():
            self._multiplied(made, records, jobs)
        return made

    def _multiplied(self, made: Path, records: int, jobs: int) -> None:
        """One job is run; asking them all would take as long as the measurement."""
        asked = 1_000 if records else 1
        unfinished = made.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        with self.running(self._plain, kept=unfinished) as stack:
            Bystander(stack.address, self.alpha, START_SECONDS).has_done(asked)
        with closing(sqlite3.connect(unfinished / "penstock.db")) as database:
            if records:
                more_records(database, asked, records // asked)
            else:
                more_jobs(database, jobs)
            database.commit()
        unfinished.rename(made)

    def _key(self, tenant: str) -> str:
        return self._run("keys", "create", "--tenant", tenant, data=self._plain).split()[-1]

    def _run(self, *arguments: str, data: Path) -> str:
        done = subprocess.run(
            self._command(*arguments), **self._settings(data), capture_output=True, text=True, check=True
        )
        return done.stdout

    def _command(self, *arguments: str) -> list[str]:
        return [str(self._root / ".venv/bin/python"), "-m", "app.cli", *arguments]

    def _settings(self, data: Path) -> dict[str, object]:
        given = {name: value for name, value in os.environ.items() if name not in OTHERS}
        own = {"PENSTOCK_DATA": str(data), "DEFAULT_MODEL": "simulated", "PENSTOCK_GRACE_SECONDS": "3"}
        return {"cwd": self._root, "env": given | own | {"PYTHONPATH": str(self._root)}, "umask": 0o077}


def end(process: "subprocess.Popen[bytes]") -> None:
    """In order, if it can; else all of it at once."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def more_records(database: sqlite3.Connection, asked: int, times: int) -> None:
    """Make the newest job so many times as large."""
    (job,) = database.execute("SELECT max(id) FROM job").fetchone()
    for table in ("record", "record_input", "record_output"):
        copy_rows(
            database, table, f"job_id = {job}", times - 1, idx=f"idx + n * {asked}", seq=f"seq + n * {asked}"
        )
    database.execute("UPDATE job SET total = total * ? WHERE id = ?", (times, job))
    database.execute(
        "UPDATE job_counts SET succeeded = succeeded * ?, seq = seq * ? WHERE job_id = ?", (times, times, job)
    )


def more_jobs(database: sqlite3.Connection, count: int) -> None:
    """Copy the newest job, without its records, and name each copy by a key."""
    (job,) = database.execute("SELECT max(id) FROM job").fetchone()
    copy_rows(database, "job", f"id = {job}", count, id="id + n", uid="lower(hex(randomblob(16)))")
    for table in ("job_spec", "job_counts"):
        copy_rows(database, table, f"job_id = {job}", count, job_id="job_id + n")
    database.execute(
        "INSERT INTO idempotency_key (tenant_id, key, fingerprint, job_id, created_at)"
        " SELECT tenant_id, 'key-' || id, randomblob(32), id, created_at FROM job WHERE id > ?",
        (job,),
    )


def copy_rows(database: sqlite3.Connection, table: str, where: str, times: int, **changed: str) -> None:
    """Insert these rows again so many times; a changed column is an expression of the old one and of `n`."""
    names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    quoted = [f'"{name}"' for name in names]
    values = [changed.get(name, one) for name, one in zip(names, quoted, strict=True)]
    database.execute(
        f"WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < {times})"
        f" INSERT INTO {table} ({', '.join(quoted)}) SELECT {', '.join(values)}"
        f" FROM {table}, copies WHERE {where}"
    )
