"""The documents say what is there: variables, commands, calls, files and links."""

import json
import re
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from dataclasses import fields
from pathlib import Path

import click
import pytest

from app.cli import cli
from app.core.accounts import api_keys
from app.factory import create_app
from app.providers import simulated
from app.web.auth import SECURITY_SCHEMES
from config import settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
# What a path in a text begins with.
TOP = ("app", "client", "config", "docs", "examples", "models", "tasks", "tests")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


class Recording(Mapping[str, str]):
    """An empty environment that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@pytest.fixture(scope="module")
def variables() -> set[str]:
    """The variables that Penstock really reads."""
    environment = Recording()
    settings.read(environment)
    return environment.asked - {"HOME", "XDG_DATA_HOME"}  # the system's own


def test_the_readme_names_every_variable_and_no_other(variables: set[str]) -> None:
    assert sorted(defaults_in_readme()) == sorted(variables)


def test_the_example_of_an_environment_names_every_variable_and_no_other(variables: set[str]) -> None:
    # Given what docker-compose.yml asks for besides
    compose = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))

    # Then both, and nothing else, can be copied from the example
    assert sorted(re.findall(r"^(?:# )?([A-Z0-9_]+)=", EXAMPLE, re.MULTILINE)) == sorted(variables | compose)


def test_the_documented_defaults_are_the_defaults() -> None:
    # Given an environment that says what is documented, and one that says nothing
    in_example = dict(re.findall(r"^# ([A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    silent = settings.read({})

    # Then there is no difference
    assert settings.read(defaults_in_readme()) == silent
    assert settings.read(in_example) == silent


def test_an_example_copied_as_it_is_changes_nothing() -> None:
    copied = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    assert settings.read(copied) == settings.read({})


@each_document
def test_make_targets_in_a_document_are_there(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {name for code in code_in(document) for name in re.findall(r"\bmake ([a-z]+)", code)} <= targets


@each_document
def test_commands_in_a_document_are_there(document: Path) -> None:
    for code in code_in(document):
        for words in re.findall(r"(?<![\w/.-])penstock ([a-z][^#\n`]*)", code):
            command, options = resolve(words.split())
            known = {name for parameter in command.params for name in (*parameter.opts, "--help")}
            assert options <= known, f"penstock {words}"


def test_the_calls_in_the_readme_are_there() -> None:
    # Given the routes of the web application
    routes = {
        (method, re.sub(r"<.*?>", "{id}", rule.rule))
        for rule in create_app().url_map.iter_rules()
        for method in rule.methods or ()
    }

    # Then the calls of the README, and those of the other contracts, are among them
    for text in (README, (ROOT / "docs" / "contracts.md").read_text()):
        calls = re.findall(r"`(GET|POST|PATCH|PUT|DELETE) (/[\w/{}-]*)`", text)
        assert len(calls) > 10
        assert set(calls) <= routes


@each_document
def test_links_in_a_document_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        page = document.parent / path if path else document
        assert page.exists(), target
        assert not anchor or anchor in anchors_of(page), target


@each_document
def test_files_in_a_document_are_there(document: Path) -> None:
    for code in code_in(document):
        for path in re.findall(rf"(?<![\w/.-])(?:{'|'.join(TOP)})/[\w./-]*\w/?", code):
            assert (ROOT / path).exists() or ".answers." in path, path  # those are written by the demo
        if re.fullmatch(r"[\w.-]+\.(md|py|yml|toml|cfg|txt|lua)", code):  # a file named by itself
            assert (ROOT / code).exists(), code


def test_the_rehearsal_names_every_knob_of_the_simulated_provider_and_no_other() -> None:
    # Given the two tables of knobs and of errors, and the examples
    text = (ROOT / "docs/rehearsal.md").read_text()
    knobs, errors = (
        re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE)))
        for table in (text.partition("| `error` | what")[0], text.partition("| `error` | what")[2])
    )
    examples = [json.loads(example) for example in re.findall(r"(\{\"[a-z_]+\": [^{}\n]*\})", text)]

    # Then they are what the code knows
    assert sorted(knobs) == sorted(field.name for field in fields(simulated.Wishes))
    assert sorted(errors) == sorted(simulated.FAILURES)
    assert len(examples) == 2
    for example in examples:
        assert set(example) <= set(knobs)
        assert example["error"] in errors


def test_the_readme_explains_every_scope_as_the_code_and_the_contract_do() -> None:
    # Given the table of scopes, and the description of keys in the contract's document
    found = dict(
        re.findall(r"^\| `([a-z:]+)` \| ([^|]*) \|$", README.partition("| scope | allows |")[2], re.MULTILINE)
    )
    description = SECURITY_SCHEMES["apiKey"]["description"]

    # Then both are the code's
    assert found == dict(api_keys.MEANINGS)
    assert all(f"- `{scope}`: {meaning}" in description for scope, meaning in found.items())


def test_a_package_works_where_the_architecture_says() -> None:
    # Given the table of packages and files, which for each has at least one
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## Where each package does its work")[2]
    rows = re.findall(r"^\| ([a-z-]+) \| [^|]+ \| ([^|;]+)", text.partition("\n## ")[0], re.MULTILINE)
    files = {package: re.findall(r"`([\w/]+\.py)`", where) for package, where in rows if package != "package"}

    # Then these are the ones that the design is made of, and every file imports its package
    assert files.keys() == {
        *("celery", "redis", "flask", "flask-smorest", "sqlalchemy", "marshmallow", "anthropic", "tenacity"),
        *("pytest", "pytest-celery"),
    }
    for package, paths in files.items():
        assert paths, package
        importing = re.compile(rf"^(from|import) {package.replace('-', '_')}\b", re.MULTILINE)
        for path in paths:
            assert importing.search((ROOT / path).read_text()), f"{path} does not import {package}"


def test_the_changelog_knows_the_version() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", config["metadata"]["version"]]


def defaults_in_readme() -> dict[str, str]:
    """The table of variables: name to default, nothing where there is none."""
    return {
        name: default.strip("` ")
        for name, default in re.findall(r"^\| `([A-Z0-9_]+)` \|([^|]*)\|", README, re.MULTILINE)
    }


def code_in(document: Path) -> list[str]:
    """What stands in backticks, and the lines of blocks of code."""
    text = document.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [*inline, *(line for block in blocks for line in block.splitlines())]


def resolve(words: list[str]) -> tuple[click.Command, set[str]]:
    """The command that the words name, and the options that they give it."""
    command: click.Command = cli
    for word in words:
        if not isinstance(command, click.Group):
            break
        assert word in command.commands, f"penstock has no {word}: {' '.join(words)}"
        command = command.commands[word]
    return command, {word for word in words if re.fullmatch(r"-[a-zA-Z]|--[a-z-]+", word)}


def anchors_of(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
