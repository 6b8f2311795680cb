"""Files with the status of jobs that have ended: a run is due every second, even while one is under way."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from app.core.pipeline import lifecycle
from app.dialects.analyze.files import keep_statuses
from config import settings
from models.session import in_transaction

pytestmark = pytest.mark.parametrize("environment", ["sqlite"], indirect=True)


def test_runs_that_overlap_write_whole_files(quiet, tmp_path, monkeypatch):
    # Given jobs that have ended
    folder = tmp_path / "statuses"
    monkeypatch.setenv("BATCH_PERSISTENCE_BACKEND", "file")
    monkeypatch.setenv("BATCH_JOB_STORAGE_PATH", str(folder))
    settings.current.cache_clear()
    jobs = [quiet.prompts(2) for _ in range(20)]
    for job in jobs:
        in_transaction(partial(cancel, job_id=job.id))

    # When several runs find them at the same time
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: keep_statuses(), range(4)))

    # Then each has its file, and nothing else is left
    assert {path.name for path in folder.iterdir()} == {f"{job.uid}.json" for job in jobs}
    assert {json.loads(path.read_text())["status"] for path in folder.iterdir()} == {"failed"}


def cancel(session, job_id):
    lifecycle.cancel(session, lifecycle.lock(session, job_id))
