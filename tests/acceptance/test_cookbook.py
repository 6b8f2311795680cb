"""Every command and program of docs/cookbook.md, run as it is printed, against one stack for all of them."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.support.commands import Stack
from tests.support.openai_upstream import OpenAIUpstream
from tests.support.upstream import Upstream

ROOT = Path(__file__).parents[2]
AT_ONCE = 3  # recipes: a command waits as much as it works
SUCCEEDED = "succeeded"
PLENTY = {"CLAUDE_REQUESTS_PER_MINUTE": "60000"}  # nobody waits for a limit


@dataclass
class Recipe:
    """A section of the cookbook, and how its commands went."""

    title: str
    commands: list[list[str]]  # the words of each `penstock run`
    scripts: list[list[str]]  # what is run one after the other
    said: list[subprocess.CompletedProcess[str]] = field(default_factory=list)


def recipes() -> list[Recipe]:
    text = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
    return [recipe(section) for section in text.split("\n## ")[1:]]


def recipe(section: str) -> Recipe:
    blocks = re.findall(r"^```(console|python)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    shell = [line for kind, block in blocks if kind == "console" for line in lines(block)]
    scripts = [["bash", "-euo", "pipefail", "-c", line] for line in shell]
    scripts += [[sys.executable, "-c", block] for kind, block in blocks if kind == "python"]
    runs = [words[words.index("penstock") :] for words in map(shlex.split, shell) if "run" in words]
    return Recipe(section.partition("\n")[0], runs, scripts)


def lines(block: str) -> list[str]:
    return [line.strip() for line in block.replace("\\\n", " ").split("$ ") if line.strip()]


RECIPES = recipes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone in which all of them were run."""
    folder = tmp_path_factory.mktemp("cookbook")
    shutil.copytree(ROOT / "examples", folder / "examples")
    with Upstream() as claude, OpenAIUpstream() as gpt:
        spoken = {"ANTHROPIC_API_KEY": "test-key", "ANTHROPIC_BASE_URL": claude.url, **PLENTY}
        spoken |= {"OPENAI_API_KEY": "test-key", "OPENAI_BASE_URL": gpt.url}
        stack = Stack(folder / "data", **spoken)
        try:
            stack.is_ready()
            key = (stack.data / "api-key").read_text().strip()
            environment = {
                **os.environ,
                "PENSTOCK_URL": stack.address,
                "PENSTOCK_API_KEY": key,
                "PENSTOCK_DATA": str(stack.data),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}",
            }
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda one: cook(one, folder, environment), RECIPES))
        finally:
            stack.clear_away()
        yield folder


def cook(one: Recipe, folder: Path, environment: dict[str, str]) -> None:
    for script in one.scripts:
        ways = {"capture_output": True, "encoding": "utf-8", "timeout": 60}
        one.said.append(subprocess.run(script, cwd=folder, env=environment, check=False, **ways))


@pytest.mark.parametrize("one", RECIPES, ids=lambda one: one.title)
def test_a_recipe_runs_as_printed_and_gives_every_row_what_it_asks_for(folder: Path, one: Recipe) -> None:
    # Then all that it prints ended well
    assert one.said
    for script, said in zip(one.scripts, one.said, strict=True):
        assert said.returncode == 0, f"{script[-1]}\n{said.stdout}\n{said.stderr}"

    # And each of its runs wrote a sheet in which all rows have an answer and the fields that were asked for
    for words in one.commands:
        answers = table(folder / out(words))
        assert len(answers) >= 4
        assert {row["status"] for row in answers} == {SUCCEEDED}, words
        for name in fields(words):
            assert name in answers[0], (words, answers[0])


def test_every_example_is_cooked() -> None:
    used = {Path(word).parts[1] for one in RECIPES for script in one.scripts for word in examples(script[-1])}
    there = {path.name for path in (ROOT / "examples").iterdir() if ".answers." not in path.name}
    assert used >= there - {"reviews.csv", "questions.jsonl"}  # those are the README's
    assert len(there) >= 10


def examples(script: str) -> list[str]:
    return re.findall(r"examples/[\w.-]+", script)


def out(words: list[str]) -> Path:
    """The file for the answers of a `penstock run`."""
    if "-o" in words:
        return Path(words[words.index("-o") + 1])
    given = Path(words[2])
    return given.with_name(f"{given.stem}.answers{given.suffix or '.csv'}")


def fields(words: list[str]) -> list[str]:
    asked = [words[at + 1] for at, word in enumerate(words) if word in ("--field", "--ask")]
    return [one.partition(":")[0].rstrip("?") for one in asked]


def table(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of answers that were asked."""
    if path.suffix == ".xlsx":
        rows = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
        header = next(row for row in rows if "status" in row)
        return [found for row in rows if (found := dict(zip(header, row, strict=True)))["status"]]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = path.read_text(encoding="cp1252")
    if path.suffix == ".json":
        return list(json.loads(text))
    if path.suffix == ".jsonl":
        records = [json.loads(line) for line in text.split("\n") if line]
        return [{**record, **record.get("value", {})} for record in records]
    mark = max("\t;,", key=text.partition("\n")[0].count)
    return list(csv.DictReader(text.splitlines(keepends=True), delimiter=mark))
