"""The contracts of imports in setup.cfg hold, and each of them is broken by what it forbids."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.house_rules import ROOMS, read

ROOT = Path(__file__).parents[2]
CLIENT = "penstock_client"
OF_CLIENT = {CLIENT, "httpx", "typing_extensions", *sys.stdlib_module_names}
LAYERS = "Each layer imports only from the layers below it"
WORKER = "The web never imports a worker's room"
CIRCLES = "No two rooms, and no two files of a room, import each other"
DOORS = "Doors act on jobs through the services, which wake and notify"
DIALECTS = "No dialect knows another"
FLASK = "Workers, core and the web server never import Flask"
SDK = "Only a provider's own module imports its SDK"
PAGE = "The page has no SQL of its own"
TRACES = "One file alone knows OpenTelemetry"
FORBIDDEN = [
    ("tasks/wake.py", "import app.stack.lock", LAYERS),
    ("models/job.py", "import tasks.wake", LAYERS),
    ("app/core/reading/feed.py", "import app.core.monitoring.collector", LAYERS),
    ("app/core/limits/allowances.py", "import app.core.limits.report", CIRCLES),
    ("tasks/celery.py", "import tasks.sweep", CIRCLES),
    ("app/web/auth.py", "import app.core.worker.process", WORKER),
    ("app/api/jobs.py", "import tasks.wake", DOORS),
    ("app/dialects/text/wire.py", "import app.dialects.chats.wire", DIALECTS),
    ("app/core/money/caps.py", "import flask", FLASK),
    ("app/core/requests/build.py", "import anthropic", SDK),
    ("app/dashboard/csrf.py", "import sqlalchemy", PAGE),
    ("app/core/tracing/traces.py", "import opentelemetry", TRACES),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the code and its contracts."""
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_every_contract_is_kept_and_has_an_offender_below(project: Path) -> None:
    assert verdicts(project) == {contract: "KEPT" for *_, contract in FORBIDDEN}


@pytest.mark.parametrize(("module", "statement", "contract"), FORBIDDEN)
def test_an_import_that_a_contract_forbids_breaks_it(
    project: Path, module: str, statement: str, contract: str
) -> None:
    with (project / module).open("a") as code:
        code.write(f"\n{statement}\n")

    assert [name for name, verdict in verdicts(project).items() if verdict == "BROKEN"] == [contract]


def verdicts(project: Path) -> dict[str, str]:
    """How each contract fares: KEPT or BROKEN."""
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    told = subprocess.run(lint, cwd=project, check=False, capture_output=True, text=True)
    found = dict(re.findall(r"^(.+) (KEPT|BROKEN)(?: \(.+\))?$", told.stdout, re.MULTILINE))
    assert found, told.stdout + told.stderr
    return found


def test_the_python_client_knows_nothing_of_the_server_nor_the_server_of_it() -> None:
    client, server = read(ROOT, f"client/{CLIENT}"), read(ROOT, *ROOMS)
    assert {"httpx"} < {name for text in client.values() for name in imported(text)} <= OF_CLIENT
    assert [path for path, text in server.items() if CLIENT in imported(text)] == []


def imported(text: str) -> set[str]:
    """The names at the top of what a file imports."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found
