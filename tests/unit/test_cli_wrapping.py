"""Sentences at a terminal of 80 columns: broken between words, and one line each in a file."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import uuid
from io import StringIO

import click
import pytest
from rich.console import Console

from app.cli import phrases, quote, wrapping
from app.cli.jobs import spending

WIDTH = 80
LONG = "not calibrated, because there are no answers of claude-haiku-4-5 yet: tokens are estimated from bytes"


def at_a_terminal(*arguments: str, **environment: str) -> str:
    """What a command says at a terminal of `WIDTH` columns."""
    return said_at_a_terminal("-m", "app.cli", *arguments, **environment)


def said_at_a_terminal(*program: str, **environment: str) -> str:
    """What a Python program says there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    command = [sys.executable, *program]
    env = {**os.environ, "PENSTOCK_URL": "", **environment}
    for name in ("COLUMNS", "LINES"):
        env.pop(name, None)
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        said = b""
        try:
            while block := os.read(ours, 65_536):
                said += block
        except OSError:  # Linux ends a terminal that nobody holds any more in this way
            pass
    os.close(ours)
    return click.unstyle(said.decode().replace("\r\n", "\n"))


def test_a_line_goes_on_under_its_text_and_no_word_is_broken():
    console = Console(file=StringIO(), force_terminal=True, width=40, color_system=None)
    wrapping.tell(console, LONG, head="quote    ")
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[0].startswith("quote    not calibrated")
    assert all(line.startswith(" " * 9) for line in lines[1:])
    assert " ".join(line.strip() for line in lines).removeprefix("quote    ") == LONG


def test_the_jobs_that_wait_are_told_beside_their_ids():
    console = Console(file=StringIO(), force_terminal=True, width=WIDTH, color_system=None)
    counts = {"succeeded": 1, "failed": 0, "cancelled": 0, "expired": 0}
    job = {"id": str(uuid.uuid4()), "name": "reviews.csv", "status": "paused", "total": 300}
    job |= {"counts": counts, "cost_remaining": "1.56"}
    spending.tell_waiting(console, [job])
    assert console.file.getvalue().splitlines() == [
        "1 other job is unfinished here; this run touches none:",
        f"  {job['id']}  reviews.csv, paused, 299 of 300 records",
        f"{' ' * 40}left, may still cost up to $1.56",
        "  `penstock jobs resume ID` goes on with one, `cancel ID` ends it",
    ]


def test_a_stack_says_its_facts_in_a_column():
    data = f"/home/{'ann' * 8}/.local/share/penstock (SQLite, an embedded broker)"
    lines = [
        f"data      {data}",
        "stopping: the web first, then the workers when their calls have ended; " * 2,
    ]
    said = said_at_a_terminal("-c", f"from app.cli.commands.up import _say; [*map(_say, {lines!r})]")
    first, second, *stopping = said.splitlines()
    assert (first + " " + second.strip()) == lines[0]
    assert second.startswith(" " * 10)
    assert len(stopping) == 2
    assert max(map(len, (first, second, *stopping))) <= WIDTH
    assert not stopping[1].startswith(" ")


def test_in_a_file_a_sentence_is_one_line():
    console = Console(file=StringIO())
    wrapping.tell(console, LONG, head="quote    ")
    assert console.file.getvalue() == f"quote    {LONG}\n"


@pytest.mark.parametrize("command", [["doctor"], ["models"], ["run", f"/tmp/{'x' * 30}/{'y' * 40}.csv"]])
def test_what_commands_say_at_a_terminal_fits_it(command, tmp_path):
    said = at_a_terminal(
        *command, PENSTOCK_DATA=str(tmp_path), DATABASE_URL="", REDIS_URL="redis://127.0.0.1:1"
    )
    too_long = [line for line in said.splitlines() if len(line) > WIDTH]
    # Nothing is broken within a word: what is too long is one word, behind its indent
    assert all(len(line.split()) <= 2 for line in too_long), too_long
    assert len(said.split()) > 4


def test_rows_of_a_list_are_folded_between_cells(tmp_path):
    env = {"PENSTOCK_DATA": str(tmp_path), "DATABASE_URL": ""}
    for command in (["migrate"], ["keys", "create", "--tenant", "acme", "--name", "the key of the night"]):
        subprocess.run(
            [sys.executable, "-m", "app.cli", *command], env=os.environ | env, check=True, capture_output=True
        )
    said = at_a_terminal("keys", "list", **env)
    assert max(map(len, said.splitlines())) <= WIDTH
    heading, more_heading, row, more = said.splitlines()
    assert (more_heading.split()[-1], more.strip()[-20:]) == ("name", "the key of the night")
    assert more_heading.index("name") == more.index("the key")
    assert heading.index("user") == row.index("01")


def test_a_quote_of_one_record_says_one_record():
    console = Console(file=StringIO())
    figures = {"low": 1, "likely": 1, "high": 1}
    quote.tell(
        console,
        {
            "records": 1,
            "cost": None,
            "duration_seconds": figures,
            "limited_by": "requests",
            "basis": {"text": LONG},
            "duplicates": 0,
            "warnings": [],
        },
    )
    assert "quote    1 record · cost unknown (the model has no price) · about 0:01" in console.file.getvalue()


def test_a_call_of_the_contract_is_said_as_the_command_that_does_it():
    said = phrases.for_terminal("there is no job 'x': GET /api/v1/jobs lists them")
    assert said == "there is no job 'x': `penstock jobs list` lists them"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("header_row: the table ends before row 9", "--header-row: the table ends before row 9"),
        ("a table needs a template, or a column", "a table needs a --prompt, or a column"),
        ("its sheet: no field", "its sheet: no field"),
    ],
)
def test_a_field_of_the_contract_is_said_as_the_option_that_sets_it(said, meant):
    assert phrases.for_terminal(said) == meant
