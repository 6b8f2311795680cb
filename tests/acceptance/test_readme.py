"""What the README prints, run as it is printed against a stack: one after the other, in one shell."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import Stack

ROOT = Path(__file__).parents[2]
PRINTED = "http://127.0.0.1:8000"  # the address of a stack as shipped


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    running = Stack(tmp_path_factory.mktemp("readme") / "data", DEFAULT_MODEL="simulated")
    yield running.is_ready()
    running.clear_away()


@pytest.fixture
def folder(stack, tmp_path) -> Path:
    """A clone of the project, as far as the README's commands see it, and its owner's home."""
    (tmp_path / ".local" / "share").mkdir(parents=True)
    (tmp_path / ".local" / "share" / "penstock").symlink_to(stack.data)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def blocks(language: str, document: str = "README.md", after: str = "## Submitting") -> list[str]:
    """The blocks of code in a document's section."""
    text = (ROOT / document).read_text(encoding="utf-8").partition(after)[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(folder: Path, stack: Stack, *commands: str) -> subprocess.CompletedProcess[str]:
    """Run commands in one shell, which stops at the first that fails."""
    script = "\n".join(["set -euo pipefail", *commands]).replace(PRINTED, stack.address)
    program = str(Path(sys.executable).parent)
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={
            **os.environ,
            "HOME": str(folder),
            "PATH": f"{program}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}",
        },
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_the_commands_of_the_command_line_run_as_printed(folder, stack):
    # When
    [printed] = blocks("console")
    commands = [line.removeprefix("$ ") for line in printed.splitlines() if "examples/" in line]
    ran = run(folder, stack, blocks("bash")[0], *commands)

    # Then all rows were answered, and those of the sample were not asked again
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("298 succeeded in") == 3
    assert "20 of 298 answers are those of an earlier job: not paid again" in ran.stderr
    with (folder / "examples" / "reviews.answers.csv").open(encoding="utf-8-sig", newline="") as answers:
        assert sum(row["status"] == "succeeded" for row in csv.DictReader(answers)) == 298


def test_the_commands_for_curl_run_as_printed(folder, stack):
    # When
    variables, calls = blocks("bash")
    ran = run(folder, stack, variables, calls.replace("curl ", "curl --fail-with-body "))

    # Then the stream was followed to its end, the file is there, and the table was answered
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "event: snapshot" in ran.stdout
    assert '"answers":[{"id":' in ran.stdout
    assert '"succeeded":298' in ran.stdout
    [results] = folder.glob("*.results.csv")
    with results.open(encoding="utf-8-sig", newline="") as file:
        assert [row["custom_id"] for row in csv.DictReader(file)] == ["a", "b"]


def test_the_program_for_python_runs_as_printed(folder, stack):
    variables, _ = blocks("bash")
    [program] = blocks("python")
    (folder / "questions.py").write_text(program, encoding="utf-8")

    ran = run(folder, stack, variables, "python questions.py")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 succeeded {'mood': " in ran.stdout
    assert "completed Counts(pending=0, running=0, succeeded=2" in ran.stdout
    assert "The handle is too hot" in ran.stdout  # in the frame


def test_the_command_for_another_teams_contract_runs_as_printed(folder, stack):
    variables, _ = blocks("bash")
    [call] = blocks("bash", "docs/contracts.md", after="# Other teams' contracts")

    ran = run(folder, stack, variables, call.replace("curl ", "curl --fail-with-body -s "))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [result["status"] for result in json.loads(ran.stdout)["results"]] == ["completed"]
