"""Prometheus itself: with our rules, on what a Penstock says; and promtool."""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "monitoring" / "rules" / "penstock.yml"
UNPACKED = ROOT / "build" / "prometheus" / "usr" / "bin"  # by the Makefile
JOB = "penstock"
OF_THE_MACHINE = {"PenstockDiskNearlyFull"}  # that the tests run on
SECONDS = {"s": 1, "m": 60, "h": 3_600}
SCRAPE = 2  # seconds between two scrapes

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`. Skips the test where there is none, but not in CI."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        missing = f"{name} is neither on PATH nor in {UNPACKED}: `make test` fetches it where apt-get can"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return found


def promtool(*arguments: str, given: str | None = None) -> str:
    """What it prints; fails the test with that if it finds a fault."""
    command = [program("promtool"), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts() -> list[dict[str, Any]]:
    """The rules of every alert, as they stand in the file."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def hurried(rules: str, factor: float) -> str:
    """The same rules with every `for` and every window so many times shorter, two scrapes at least.

    One that a busy machine does not answer in time wakes nobody.
    """

    def shorter(duration: re.Match[str]) -> str:
        before, number, unit = duration.groups()
        return f"{before}{max(2_000 * SCRAPE, round(1_000 * int(number) * SECONDS[unit] / factor))}ms"

    return re.sub(r"(for: |\[)(\d+)([smh])\b", shorter, rules)


class Prometheus:
    """It scrapes one web process, every `SCRAPE` seconds."""

    def __init__(self, target: str, folder: Path, factor: float) -> None:
        folder.mkdir()
        (folder / "rules.yml").write_text(hurried(RULES.read_text(), factor))
        config = {
            "global": {
                "scrape_interval": f"{SCRAPE}s",
                "scrape_timeout": f"{SCRAPE}s",
                "evaluation_interval": "500ms",
            },
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.began = time.time()
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=log,
            )

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Each series that it has now, with its labels and value."""
        return [*self._get("query", query=expression)["result"]]

    def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire: their names, and the value of the label that tells them apart."""
        told = {"group", "part", "queue", "role", "route", "model"}
        return {
            (labels["alertname"], " ".join(value for name, value in labels.items() if name in told))
            for one in self.query('ALERTS{alertstate="firing"}')
            if one["metric"]["alertname"] not in OF_THE_MACHINE
            for labels in [one["metric"]]
        }

    def had(self, expression: str) -> bool:
        """Whether it had a value at any time since it was ready."""
        asked = {"start": f"{self.began}", "end": f"{time.time()}", "step": f"{SCRAPE}"}
        found = self._get("query_range", query=expression, **asked)
        return any(value != "NaN" for one in found["result"] for _, value in one["values"])

    def fired(self) -> set[str]:
        """The names of all alerts that have fired since it was ready."""
        since = round(time.time() - self.began)
        found = self.query(f'max by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}[{since}s]))')
        return {one["metric"]["alertname"] for one in found} - OF_THE_MACHINE

    def told(self) -> list[dict[str, str]]:
        """What whoever is woken reads: the annotations of the alerts that wait or fire."""
        return [alert["annotations"] for alert in self._get("alerts")["alerts"]]

    def wait_for(self, fact: Callable[[], object], seconds: float, what: str) -> None:
        def holds() -> object:
            try:
                return fact()
            except OSError:
                return False

        wait_until(holds, seconds=seconds, what=what)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        address = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with _opener.open(address, timeout=10) as response:
            data: dict[str, Any] = json.load(response)["data"]
        return data


@contextmanager
def prometheus(target: str, folder: Path, factor: float) -> Iterator[Prometheus]:
    """One that scrapes `target`, with the rules `factor` times as quick, until the end of the block."""
    server = Prometheus(target, folder / "prometheus", factor)
    try:
        server.wait_for(
            lambda: server.query(f'up{{job="{JOB}"}} == 1') and not server.firing(),
            30,
            f"Prometheus scrapes {target}, and is no longer told that nobody answers",
        )
        server.began = time.time()
        yield server
    finally:
        server.stop()
