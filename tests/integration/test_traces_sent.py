"""How traces leave a process: with its end, past a collector that does not answer, or not at all."""

import ast
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.conftest import penstock_of_its_own
from tests.support.collector import collecting
from tests.support.front_door import JOBS
from tests.support.servers import wait_until
from tests.support.web_process import web_process


@pytest.fixture
def values(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    with penstock_of_its_own("sqlite", request, tmp_path) as values:
        yield values


def test_a_process_that_stops_sends_what_it_has(values, tmp_path):
    with collecting() as collector:
        named = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
        with web_process({**values, **named}, tmp_path) as web:
            assert web.get(JOBS, "nobody's").status_code == 401
            assert collector.spans == []  # not even of the probe that waited for the process
        assert [(span.name, span.failed) for span in collector.spans] == [(f"GET {JOBS}", False)]


def test_a_collector_that_does_not_answer_is_told_once_and_delays_neither_requests_nor_the_end(
    values, tmp_path
):
    # Given one that takes connections and says nothing
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as taken:
        silent.setblocking(False)

        tries: list[socket.socket] = []

        def tried() -> int:
            with suppress(BlockingIOError):
                while True:
                    tries.append(taken.enter_context(silent.accept()[0]))
            return len(tries)

        named = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "0.3",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with web_process({**values, **named}, tmp_path) as web:
            # When it does not take one batch after the other
            def asked() -> bool:
                return web.get(JOBS, "nobody's").status_code == 401

            wait_until(lambda: asked() and tried() >= 4, what="four batches were tried")
            stopped_at = time.monotonic()
        # Then
        assert time.monotonic() - stopped_at < 5
        log = web.log.read_text()
        assert log.count("traces.not_sent") == 1
        assert "opentelemetry" not in log


# Everything is there, and all that a process imports at its start.
SERVES = """
import sys
{before}
from app.factory import create_app
create_app()
import tasks.worker, tasks.slice
from tasks.celery import app
app.loader.import_default_modules()
print([name for name in sys.modules if name.startswith(("opentelemetry", "app.core.tracing."))])
"""
NOT_INSTALLED = "sys.modules['opentelemetry'] = None  # as if it were not installed"


def imported(before: str = "", **environment: str) -> tuple[list[str], str]:
    """What a process that serves has of tracing, and what it logs."""
    told = subprocess.run(
        [sys.executable, "-c", SERVES.format(before=before)],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return ast.literal_eval(told.stdout), told.stderr


def test_off_nothing_is_imported_and_without_the_extra_the_log_says_what_to_install(values):
    # Redis's client imports OpenTelemetry's metrics for itself, where they are installed
    found, said = imported()
    assert not [
        name for name in found if name.startswith(("opentelemetry.exporter", "opentelemetry.util.genai"))
    ]
    assert "app.core.tracing.otel" not in found
    assert said == ""

    found, said = imported(NOT_INSTALLED, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert found == ["opentelemetry", "app.core.tracing.traces"]
    assert "pip install 'penstock[otel]'" in said
