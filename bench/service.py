"""A Penstock under measurement: `penstock up`, asked over HTTP as by anybody else."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx2

from app.stack.lock import holder
from bench import cpu, servers
from tests.support.servers import free_port, wait_until

MODEL = "claude-haiku-4-5"
START_SECONDS = 90
LOOK = 0.5  # seconds between two looks at a job
AS_FAST_AS_IT_CAN = {
    "CLAUDE_REQUESTS_PER_MINUTE": "1000000",
    "BATCH_MAX_CONCURRENT_LLM_CALLS": "1000",
}

Job = Mapping[str, Any]


class Service:
    """A running stack; `http` has its address and an administrator's key."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path, port: int, database: str) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.pid = process.pid
        self.folder = folder
        self.database = database
        self._process = process
        self.http = httpx2.Client(base_url=f"{self.address}/api/v1", timeout=600)

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            assert self._process.poll() is None, (self.folder / "up.out").read_text()
            return "ready after" in (self.folder / "up.out").read_text()

        wait_until(ready, seconds=START_SECONDS, what="penstock up is ready")
        key = (self.folder / "data" / "api-key").read_text().strip()
        self.http.headers["Authorization"] = f"Bearer {key}"

    def submit(self, lines: Iterable[bytes] | IO[bytes], **fields: Any) -> Job:
        """Send JSON lines as a file."""
        content = lines if hasattr(lines, "read") else b"\n".join(lines)
        answer = self.http.post(
            "/jobs", data={"model": MODEL, "max_tokens": "64", **fields}, files={"file": ("r.jsonl", content)}
        )
        assert answer.status_code == 202, answer.text
        job: Job = answer.json()
        return job

    def look(self, job: Job) -> Job:
        found: Job = self.http.get(f"/jobs/{job['id']}").raise_for_status().json()
        return found

    def ended(self, job: Job) -> int:
        counts = self.look(job)["counts"]
        return int(counts["succeeded"] + counts["failed"])

    def wait_for(self, job: Job, seconds: float = 3_600) -> Job:
        """The job when it has completed, with every record."""
        over = time.monotonic() + seconds
        while (found := self.look(job))["status"] != "completed":
            assert time.monotonic() < over, f"the job is {found['status']} after {seconds:g} s"
            time.sleep(LOOK)  # what a look costs is not the job's
        assert found["counts"]["succeeded"] == found["total"], found["counts"]
        return found

    @property
    def redis_url(self) -> str:
        running = holder(self.folder / "data")
        assert running is not None
        return running.redis_url

    def processes(self) -> cpu.Processes:
        return cpu.Processes(self.pid, self.database)

    def stop(self) -> None:
        self.http.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


@contextmanager
def running(
    upstream: str, kind: str = "postgresql", workers: int = 2, **environment: str
) -> Iterator[Service]:
    """A stack of its own on an empty database, with its own broker, asking `upstream` for Claude."""
    with servers.database(kind) as database, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        with (folder / "up.out").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "up", "--port", str(port), "--workers", str(workers)],
                env={
                    **{name: value for name, value in os.environ.items() if name != "REDIS_URL"},
                    "DATABASE_URL": database,
                    "PENSTOCK_DATA": str(folder / "data"),
                    "ANTHROPIC_API_KEY": "bench-key",
                    "ANTHROPIC_BASE_URL": upstream,
                    "PENSTOCK_GRACE_SECONDS": "3",
                    **environment,
                },
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        service = Service(process, folder, port, database)
        try:
            service.wait_until_ready()
            yield service
        finally:
            service.stop()


def prompts(count: int, about: str = "great phone, bad battery.") -> list[bytes]:
    """JSON lines that a bare loop would ask in the same words."""
    return [json.dumps({"prompt": f"Classify review {number}: {about}"}).encode() for number in range(count)]
