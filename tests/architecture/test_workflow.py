"""Continuous integration runs what the README tells a reader to run, on every Python that is supported."""

import re
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import yaml

from tests.support.published_schemas import faults

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".github" / "workflows" / "ci.yml"
TEXT = FILE.read_text()
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
RELEASE: dict[Any, Any] = yaml.safe_load(FILE.with_name("release.yml").read_text())


def test_the_workflow_is_one(tmp_path: Path) -> None:
    # Given the file, and one with a fault in it
    wrong = tmp_path / "ci.yml"
    wrong.write_text(TEXT.replace("runs-on:", "run-on:"))

    # Then the published schema tells them apart
    assert faults("github-workflows", FILE) == ""
    assert "runs-on" in faults("github-workflows", wrong)
    assert faults("github-workflows", FILE.with_name("release.yml")) == ""


def test_the_suite_runs_on_every_python_that_is_supported() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    supported = re.findall(r"Python :: (3\.\d+)", config["metadata"]["classifiers"])
    test = WORKFLOW["jobs"]["test"]

    assert test["strategy"]["matrix"]["python"] == supported
    assert "${{ matrix.python }}" in {step.get("with", {}).get("python-version") for step in test["steps"]}


def test_it_runs_the_commands_of_the_readme_and_of_the_image() -> None:
    commands = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]

    assert "$ make test\n" in (ROOT / "README.md").read_text()
    for wanted in ("make test ", "docker compose config ", "docker compose up --build "):
        assert any(command.startswith(wanted) for command in commands), wanted


def test_it_may_only_read_and_ends_with_the_next_push() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in WORKFLOW["jobs"].values())
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is True
    assert all("timeout-minutes" in job for job in WORKFLOW["jobs"].values())


def test_a_release_is_made_of_a_tag_alone_and_each_job_may_do_what_it_is_for() -> None:
    assert RELEASE[True] == {"push": {"tags": ["v*"]}}  # YAML reads `on` as true
    assert RELEASE["permissions"] == {"contents": "read"}
    assert {name: job["permissions"] for name, job in RELEASE["jobs"].items()} == {
        "files": {"contents": "write"},
        "image": {"contents": "read", "packages": "write"},
    }
    commands = " ".join(step.get("run", "") for step in RELEASE["jobs"]["files"]["steps"])
    targets, makefile = re.findall(r"make (\w+)", commands), (ROOT / "Makefile").read_text()
    assert targets == ["release", "sbom"]
    assert all(f"\n{target}: " in makefile for target in targets)


def test_every_action_is_named_with_its_whole_version() -> None:
    jobs = [*WORKFLOW["jobs"].values(), *RELEASE["jobs"].values()]
    actions = [step["uses"] for job in jobs for step in job["steps"] if "uses" in step]

    assert len(actions) >= 6
    assert all(re.fullmatch(r"[\w./-]+@v\d+\.\d+\.\d+", action) for action in actions), actions
