"""What a line of the log holds, and what it never does."""

import contextvars
import json
import logging
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import structlog

from config import floods, logs
from tests.support.servers import wait_until

ROOT = Path(__file__).parents[2]
KEY = "pk_abcdefghij_" + "0" * 64


@pytest.fixture(autouse=True)
def _restored():
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(False)
    structlog.reset_defaults()
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if handler.get_name() != logs.HANDLER]
    root.setLevel(logging.WARNING)


def test_json_is_one_object_a_line_for_our_loggers_and_a_librarys(capsys):
    logs.configure("INFO", "json")
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("ours").info("taken", records=3)
        logging.getLogger("theirs").warning("slow %s", "answer")

    ours, theirs = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (ours["event"], ours["records"], ours["request_id"], ours["level"]) == ("taken", 3, "r-1", "info")
    assert (theirs["event"], theirs["logger"], theirs["request_id"]) == ("slow answer", "theirs", "r-1")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_key_is_masked_wherever_it_stands(capsys, form):
    logs.configure("INFO", form)
    structlog.get_logger("ours").info(f"with {KEY}", keys=[{"theirs": "sk-ant-api03-abcdefghijkl"}])
    logging.getLogger("theirs").warning("cannot reach %s", "redis://:a/password@host:6379/0")
    logging.getLogger("theirs").warning("task-succeeded of https://host:8000/path")

    written = capsys.readouterr().err
    assert not [secret for secret in ("0" * 64, "abcdefghijkl", "password") if secret in written]
    assert "pk_abcdefghij_***" in written
    assert "redis://:***@host:6379/0" in written
    assert "task-succeeded of https://host:8000/path" in written


def test_a_long_line_takes_no_long_time(capsys):
    logs.configure("INFO", "json")
    began = time.process_time()
    structlog.get_logger("ours").info("x://:" * 20_000)
    assert time.process_time() - began < 2  # without a bound it is minutes


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_shows_neither_variables_nor_the_row_that_a_database_quotes(capsys, form):
    logs.configure("INFO", form)
    quoted = "refused\nDETAIL:  Failing row contains (1, a prompt\n\nand more).\n[SQL: INSERT]"
    answer = "an answer"
    try:
        _refuse(answer, quoted)
    except ValueError:
        structlog.get_logger("ours").exception("failed")

    written = capsys.readouterr().err
    assert "ValueError: refused" in written
    assert "[SQL: INSERT]" in written
    assert not [word for word in ("a prompt", "and more", "an answer") if word in written]


def test_configuring_twice_writes_each_line_once(capsys):
    logs.configure("INFO", "json")
    logs.configure("WARNING", "json")
    logging.getLogger("theirs").info("not now")
    logging.getLogger("theirs").warning("once")

    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise ValueError('lost')", ["uncaught_exception"]),
        (
            "import threading; threading.Thread(target=lambda: 1 / 0).start()",
            ["uncaught_exception"],
        ),
        ("import warnings; warnings.warn('old')", ["<string>:1: UserWarning: old\n"]),
        ("from config import logs; logs.end_with('no room')", ["process.refused"]),
        (
            "import logging; [logging.getLogger('theirs').warning('full') for _ in range(102)]",
            [*(["full"] * 100), "log.left_out"],
        ),
        ("import logging; logging.getLogger('theirs').error('%d', 'a word')", ["log.broken"]),
    ],
)
def test_in_production_nothing_of_a_process_is_written_otherwise(code, expected):
    made = "from config import logs; logs.configure('INFO', 'json'); "
    ended = subprocess.run(
        [sys.executable, "-c", made + code],
        env={"PYTHONPATH": str(ROOT), "API_ENV": "production"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in (ended.stdout + ended.stderr).splitlines()]
    assert [line["event"] for line in lines] == expected


@pytest.mark.parametrize(("command", "is_imported"), [("flower", False), ("worker --hostname flower", True)])
def test_what_runs_no_task_has_neither_tasks_nor_the_databases_client_in_memory(command, is_imported):
    starts = (
        "import sys; sys.argv[0] = 'celery'; from tasks.celery import app;"
        " app.loader.import_default_modules();"
        " print(*sorted({'sqlalchemy', 'tasks.slice'} & sys.modules.keys()), app.conf.task_send_sent_event)"
    )
    told = subprocess.check_output(
        [sys.executable, "-c", starts, "--app", "tasks", *command.split()], cwd=ROOT, text=True
    )
    assert told.split() == (["sqlalchemy", "tasks.slice", "True"] if is_imported else ["False"])


def test_a_line_says_what_it_is_about_and_asks_only_then(capsys):
    logs.configure("INFO", "json")
    asked = []

    def tell():
        asked.append(1)
        return {"index": 7, "attempt": 2, "event": "not this"}

    context = contextvars.copy_context()
    context.run(logs.subject.set, tell)
    context.run(structlog.get_logger("ours").debug, "hidden")
    assert asked == []
    context.run(structlog.get_logger("ours").info, "held")
    logging.getLogger("theirs").warning("other")

    ours, theirs = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (ours["event"], ours["index"], ours["attempt"]) == ("held", 7, 2)
    assert "index" not in theirs


def test_a_line_may_be_left_out(capsys):
    logs.configure("INFO", "json", lambda record: record.name == "theirs")
    logging.getLogger("theirs").error("not this")
    structlog.get_logger("ours").info("this")
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "this"


def test_nobody_can_have_a_line_of_their_own_written_or_move_a_terminals_cursor(capsys):
    logs.configure("INFO", "text")
    forged = "a\n2026-11-28T00:00:00Z [error    ] lost\x1b[2J"
    logging.getLogger("theirs").warning("no such path: %s", forged)
    structlog.get_logger("ours").info("asked", path=forged)

    first, *others = capsys.readouterr().err.splitlines()
    assert first.endswith("no such path: a")
    assert [line.startswith(("    ", "2026-11-28T00")) for line in others] == [True, False]
    assert "\x1b[2J" not in "".join(others)


def test_of_a_flood_some_lines_are_written_and_the_others_counted(capsys, monkeypatch):
    monkeypatch.setattr(floods, "MOST", 3)
    monkeypatch.setattr(floods, "WITHIN", 1.5)
    logs.configure("INFO", "json")

    # When two jobs fail over and over, and somebody sends what cannot be read
    for number in range(10):
        structlog.get_logger("ours").warning("record.failed", job="one", index=number)
        structlog.get_logger("ours").info("asked")
        logging.getLogger("theirs").error("not readable: %s", number)
    structlog.get_logger("ours").warning("record.failed", job="two")

    # Then each is a few lines, none hides another, and what goes well is not counted
    written = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = Counter((line["event"].partition(":")[0], line.get("job")) for line in written)
    failed = "record.failed"
    assert told == {(failed, "one"): 3, (failed, "two"): 1, ("asked", None): 10, ("not readable", None): 3}

    # And the rest is said without another line having to come
    rest: list[str] = []
    wait_until(lambda: rest.append(capsys.readouterr().err) or "log.left_out" in rest[-1], seconds=5)
    assert json.loads(rest[-1])["lines"] == {failed: 7, "not readable: %s": 7}
    structlog.get_logger("ours").warning("record.failed", job="one")
    assert json.loads(capsys.readouterr().err)["job"] == "one"


def _refuse(_answer: str, message: str) -> None:
    raise ValueError(message)
