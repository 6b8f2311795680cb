"""Flower as `celery -A tasks flower` starts it, beside a test's workers."""

import base64
import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from tests.support import servers
from tests.support.servers import wait_until

ROOT = Path(__file__).parents[2]
LOGIN = "operator:a password"
COMMAND = (sys.executable, "-m", "celery", "--app", "tasks", "flower")


class Flower:
    """Asks Flower what it knows; `headers` are those of somebody who knows the password."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.headers = {"Authorization": f"Basic {base64.b64encode(LOGIN.encode()).decode()}"}

    def status(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> int:
        request = urllib.request.Request(self.url + path, headers=dict(headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code

    def get(self, path: str) -> Any:
        """The JSON of a path; nothing as long as it does not listen."""
        try:
            request = urllib.request.Request(self.url + path, headers=self.headers)
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            return {}

    def tasks(self, **wanted: str) -> list[dict[str, Any]]:
        """What it knows of each task that it has heard of."""
        return list(self.get("/api/tasks?" + urllib.parse.urlencode({"limit": 1000, **wanted})).values())

    def await_workers(self, count: int) -> None:
        wait_until(
            lambda: len(self.get("/api/workers?refresh=1")) == count, seconds=40, what=f"{count} workers"
        )


@contextmanager
def flower(environment: Mapping[str, str], folder: Path) -> Iterator[Flower]:
    """Its process, which has the password from a file."""
    port = servers.free_port()
    (folder / "password").write_text(f"{LOGIN}\n")
    with (folder / "flower.log").open("w") as log:
        process = subprocess.Popen(
            [*COMMAND, f"--port={port}"],
            cwd=ROOT,
            env={**os.environ, **environment, "FLOWER_BASIC_AUTH_FILE": str(folder / "password")},
            stdout=log,
            stderr=log,
        )
    try:
        yield Flower(port)
    finally:
        process.terminate()
        process.wait(20)


def refusal(**environment: str) -> str:
    """What a Flower says that does not start."""
    ended = subprocess.run(
        [*COMMAND, "--port=0"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stderr.strip().splitlines()[-1]
