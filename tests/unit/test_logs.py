"""What a line of the log holds, and what it never does."""

import json
import logging

import pytest
import structlog

from config import logs

KEY = "pk_abcdefghij_" + "0" * 64


@pytest.fixture(autouse=True)
def _restored():
    yield
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
    structlog.get_logger("ours").info(f"with {KEY}", key="sk-ant-api03-abcdefghijkl")

    written = capsys.readouterr().err
    assert "0" * 64 not in written
    assert "abcdefghijkl" not in written
    assert "pk_abcdefghij_***" in written


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


def _refuse(_answer: str, message: str) -> None:
    raise ValueError(message)
