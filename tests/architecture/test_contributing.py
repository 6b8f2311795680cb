"""The lists of CONTRIBUTING, which say file by file how to add something, hold for what was added before."""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from app.core.measures import metrics

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
PATH = re.compile(r"`([\w.-]+(?:/[\w.-]*)+|[\w.-]*\.(?:md|example))`")


def steps(text: str, heading: str) -> list[list[str]]:
    """The paths that each step of a list names."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [PATH.findall(step) for step in re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:]]


def missed(root: Path, its_steps: Sequence[Sequence[str]], wanted: Mapping[str, str]) -> Iterator[str]:
    """Paths that lead nowhere, and steps none of whose files has what a pattern of `wanted` looks for."""
    for number, paths in enumerate(its_steps, start=1):
        yield from (f"{number}: there is no {path}" for path in paths if not (root / path).exists())
        said = "\n".join(map(content, (root / path for path in paths if (root / path).exists())))
        yield from (
            f"{number}: {name} is not in {' or '.join(paths)}"
            for name, pattern in wanted.items()
            if not re.search(pattern, said, re.IGNORECASE | re.MULTILINE)
        )


def content(path: Path) -> str:
    """A file's text; of a folder the names in it, and what its modules say."""
    if path.is_file():
        return path.read_text()
    modules = [one.read_text() for one in path.glob("*.py")]
    return "\n".join([*(one.name for one in path.iterdir()), *modules])


def providers() -> dict[str, str]:
    """Modules with a client of their own."""
    return {
        name: name
        for path in (ROOT / "app/providers").rglob("*.py")
        for name in [path.parent.name if path.stem == "client" else path.stem]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and re.fullmatch(r"\w+Client", node.name)
    }


def dialects() -> dict[str, str]:
    """Folders with routes, by their own name or where their paths begin."""
    found = {}
    for path in (ROOT / "app/dialects").glob("*/routes.py"):
        name = path.parent.name
        routes = importlib.import_module(f"app.dialects.{name}.routes")
        prefixes = routes.PREFIXES if hasattr(routes, "PREFIXES") else (routes.PREFIX,)
        paths = "|".join(map(re.escape, prefixes))
        found[name] = rf"dialects[./]{name}\b|dialects import {name}\b|^{name}$|{paths}"
    return found


def declared_metrics() -> dict[str, str]:
    return {
        name: rf"\b{name}\b|`{metric.name}`"
        for name, metric in vars(metrics).items()
        if isinstance(metric, metrics.Metric)
    }


LISTS = {
    "Adding a provider": providers(),
    "Adding a dialect": dialects(),
    "Adding a metric": declared_metrics(),
    "Adding a field of a job": {"priority or max_cost": "priority|max_cost"},
}


@pytest.mark.parametrize("heading", LISTS)
def test_a_list_holds_for_all_that_was_added_by_it(heading: str) -> None:
    its_steps = steps(TEXT, heading)

    assert len(its_steps) >= 3
    assert all(its_steps)
    assert len(LISTS[heading]) >= 1
    assert list(missed(ROOT, its_steps, LISTS[heading])) == []


def test_a_list_that_has_aged_is_found(tmp_path: Path) -> None:
    # Given a list of which one file is gone, and one knows only the first of two
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/one.md").write_text("first and second")
    (tmp_path / "docs/two.md").write_text("first")
    text = (
        "\n## A list\n\n1. `docs/one.md`: this.\n2. `docs/two.md`, or\n   `docs/3.md`.\n\n## B\n1. `x.md`\n"
    )

    # Then both are told
    assert steps(text, "A list") == [["docs/one.md"], ["docs/two.md", "docs/3.md"]]
    assert list(missed(tmp_path, steps(text, "A list"), {"a": "first", "b": "second"})) == [
        "2: there is no docs/3.md",
        "2: b is not in docs/two.md or docs/3.md",
    ]
