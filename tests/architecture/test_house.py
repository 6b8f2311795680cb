"""Rules of the house: what a folder, a class and a function hold, where errors stand, what no test does.

Each is first broken by a planted offender, so that it is known to find one.
"""

from pathlib import Path
from textwrap import indent

import pytest

from tests.support import house_rules

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def code() -> house_rules.Files:
    return house_rules.read(ROOT, *house_rules.ROOMS)


@pytest.fixture(scope="module")
def client() -> house_rules.Files:
    """The Python client, which stands apart: its errors are its own."""
    return house_rules.read(ROOT, "client/penstock_client")


def test_a_folder_with_too_many_modules_is_found() -> None:
    full = {Path(f"app/room/m{number}.py"): "" for number in range(house_rules.MODULES)}
    full[Path("app/room/__init__.py")] = ""
    assert house_rules.crowded(full) == []
    assert house_rules.crowded(full | {Path("app/room/more.py"): ""}) == ["app/room: 21 modules"]


def test_no_folder_has_too_many_modules(code: house_rules.Files, client: house_rules.Files) -> None:
    assert house_rules.crowded(code | client) == []


@pytest.mark.parametrize(
    ("head", "bound"),
    [
        ("def f():\n", house_rules.FUNCTION),
        ("async def f():\n", house_rules.FUNCTION),
        ("class A:\n", house_rules.CLASS),
    ],
)
def test_what_is_too_long_is_found(head: str, bound: int) -> None:
    # Given one inside another, as long as it may be, and the same with one line more
    body = indent(head + "    x = 1\n" * (bound - 1), "    ")
    longest = {Path("app/a.py"): f"if True:\n{body}"}
    longer = {Path("app/a.py"): f"if True:\n{body}        x = 1\n"}

    # Then only the second is found
    assert house_rules.long_ones(longest) == []
    assert len(house_rules.long_ones(longer)) == 1


def test_nothing_is_too_long(code: house_rules.Files, client: house_rules.Files) -> None:
    assert house_rules.long_ones(code | client) == []


@pytest.mark.parametrize(
    "text",
    [
        "class Full(Exception): ...",
        "class Full(OSError): ...",
        "from app import errors\nclass Full(errors.Refused): ...",
        "from app.errors import Refused\nclass Full(Refused): ...",
        "import redis\nclass Full(redis.RedisError): ...",
        "class _Root(Exception): ...\nclass Full(_Root): ...",
        "def work():\n    class Full(Exception): ...",
    ],
)
def test_an_error_that_stands_elsewhere_is_found(text: str) -> None:
    tree = {
        house_rules.ERRORS: "class Refused(Exception): ...",
        Path("app/other.py"): "class Full: ...  # of the same name",
    }
    found = house_rules.errors_elsewhere(tree | {Path("app/room.py"): text})
    assert [line.partition(" ")[2] for line in found] == ["Full"]


def test_control_flow_that_leaves_its_file_is_found() -> None:
    private = {Path("app/a.py"): "class _Over(Exception): ...\ndef f(): raise _Over"}
    for use in ("from app.a import _Over", "from app import a\ndef g(): raise a._Over"):
        assert house_rules.errors_elsewhere(private) == []
        assert house_rules.errors_elsewhere(private | {Path("app/b.py"): use}) == ["app/a.py _Over"]


def test_errors_stand_in_one_file(code: house_rules.Files) -> None:
    assert house_rules.errors_elsewhere(code) == []


@pytest.mark.parametrize(
    "text",
    [
        'def test(monkeypatch): monkeypatch.setattr("app.services.submission.start", print)',
        'from app.services import submission\nmonkeypatch.setattr(submission, "start", print)',
        'from app.services import submission as ours\nmonkeypatch.setattr(ours, "start", print)',
        'import tasks.wake\nmonkeypatch.setattr(tasks.wake, "wake", print)',
        'import celeryconfig\nsetattr(celeryconfig, "imports", ())',
        'from models import Job\nmonkeypatch.setattr(Job.status, "type", None)',
        'from app.api.probes import CHECKS\nmonkeypatch.setattr(CHECKS["database"], "_patience", 1)',
        "from unittest import mock",
        "from unittest.mock import patch",
        "import unittest.mock",
    ],
)
def test_patching_of_our_functions_is_found(text: str) -> None:
    assert len(house_rules.patched({Path("tests/test_a.py"): text})) == 1


@pytest.mark.parametrize(
    "text",
    [
        'monkeypatch.setenv("DATABASE_URL", "sqlite://")',
        'monkeypatch.setattr("tempfile.tempdir", "/")',
        'from sqlalchemy.orm import Session\nmonkeypatch.setattr(Session, "commit", print)',
        'from app.core.reading import follow\nmonkeypatch.setattr(follow, "HEARTBEAT", 0.1)',
        'monkeypatch.setattr("app.dialects.chats.routes.PAGE", 2)',
    ],
)
def test_others_code_and_figures_may_be_set(text: str) -> None:
    assert house_rules.patched({Path("tests/test_a.py"): text}) == []


def test_no_test_patches_our_functions() -> None:
    assert house_rules.patched(house_rules.read(ROOT, "tests", "bench")) == []


@pytest.mark.parametrize(
    "text",
    [
        "path.read_text()",
        "path.write_text(content, errors='replace')",
        "open(name)",
        "open(name, 'w')",
        "path.open('a')",
        "os.fdopen(number, mode='w')",
    ],
)
def test_text_in_the_encoding_of_the_locale_is_found(text: str) -> None:
    assert house_rules.unencoded({Path("app/a.py"): text}) == ["app/a.py:1"]


def test_bytes_and_named_encodings_are_not_taken_for_it() -> None:
    text = (
        "path.read_text(encoding='utf-8')\nopen(name, 'rb')\npath.open('ab')\nstore.open()\nos.open(name, 0)"
    )
    assert house_rules.unencoded({Path("app/a.py"): text}) == []


def test_every_text_is_read_and_written_in_an_encoding_that_is_named(code: house_rules.Files) -> None:
    assert house_rules.unencoded(code) == []
