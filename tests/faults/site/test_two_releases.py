"""A worker of the release before goes on beside new ones, over the database as the new ones have it."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from release.archives import unpack
from tests.faults.support.breakable_stack import Site, held_by, lease_of, stop
from tests.support.celery_nodes import PROJECT
from tests.support.servers import wait_until

pytestmark = [pytest.mark.timeout(3600), pytest.mark.long]

MIGRATIONS = "models/migrations/versions"


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=PROJECT, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> Path:
    """The code as it was before its newest migration came."""
    newest = sorted(Path(PROJECT, MIGRATIONS).glob("[0-9]*.py"))[-1]
    (commit, *_) = git("log", "--diff-filter=A", "--format=%H", "--", str(newest)).decode().split()
    folder: Path = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(git("archive", f"{commit}~1"))) as archive:
        unpack(archive, folder)
    assert not (folder / MIGRATIONS / newest.name).exists()
    return folder


def test_an_old_worker_and_new_ones_share_a_job(fresh: Site, before, records, figures):
    # Given a worker of the release before, at a job that says what it does not know
    stop(*fresh.slices)
    fresh.upstream.configure(latency_ms=600, latency_sigma=0.4)
    with old_worker(fresh, before) as old:
        job = fresh.ask(records, timeout=60)
        lease = lease_of(old.pid)
        wait_until(lambda: held_by(lease, job), what="the old one holds records")

        # When new ones come
        fresh.mend()
        books = fresh.finish(job)

    # Then nothing is lost between them, and the books agree
    figures.note("an old worker and new ones across a migration", books)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)


@contextmanager
def old_worker(site: Site, code: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [
        "-m",
        "celery",
        "-A",
        "tasks",
        "worker",
        "-Q",
        "slices",
        "-P",
        "threads",
        "-c",
        "64",
        "-n",
        "old@%h",
    ]
    log = site.folder / "old.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, *command, "--without-gossip", "--without-mingle"],
            cwd=code,
            env={**os.environ, **site.environment, "PYTHONPATH": str(code)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: b"ready." in log.read_bytes() or worker.poll() is not None, seconds=60)
        assert worker.poll() is None, log.read_text()
        yield worker
    finally:
        worker.terminate()
        worker.wait(60)
