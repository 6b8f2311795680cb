"""`penstock run -` between other programs: records come by one pipe, answers leave by another."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import EMBEDDED, Stack
from tests.support.documents import docx, pdf


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A stack that runs already."""
    running = Stack(tmp_path_factory.mktemp("run") / "data")
    yield running.is_ready()
    running.clear_away()


def piped(shared: Stack, content: bytes, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "run", *arguments],
        input=content,
        check=False,
        capture_output=True,
        env=os.environ | {"PENSTOCK_DATA": str(shared.data)} | EMBEDDED,
        timeout=120,
    )


def test_records_come_by_standard_input_and_answers_alone_leave_by_standard_output(shared, tmp_path: Path):
    # When a table comes without a name, and JSON lines, which go to a file
    lines = b"".join(json.dumps({"text": f"Text {number}"}).encode() + b"\n" for number in range(3))
    table = piped(shared, b"id;text\n1;one\n2;two\n", "-", "--prompt", "Say {{ text }}")
    listed = piped(shared, lines, "-", "--prompt", "Say {{ text }}", "-o", str(tmp_path / "out.json"))
    empty = piped(shared, b"", "-", "--prompt", "Say {{ text }}")

    # Then the table comes back in its own form, and everything else is told beside it
    assert table.returncode == 0, table.stderr
    rows = list(csv.DictReader(io.StringIO(table.stdout.decode(), newline=""), delimiter=";"))
    assert [(row["id"], row["status"]) for row in rows] == [("1", "succeeded"), ("2", "succeeded")]
    assert b"2 succeeded" in table.stderr
    assert b"standard output" in table.stderr

    # And a file that is named gets them
    assert (listed.returncode, listed.stdout) == (0, b""), listed.stderr
    assert len(json.loads((tmp_path / "out.json").read_bytes())) == 3

    # And of nothing a command says what to do
    assert empty.returncode == 2
    assert b"nothing came by standard input" in empty.stderr


def test_a_reader_that_goes_ends_the_command_quietly(shared):
    rows = b"text\n" + b"".join(b"%d %s\n" % (number, b"x" * 2_000) for number in range(200))
    with subprocess.Popen(
        [sys.executable, "-m", "app.cli", "run", "-", "--prompt", "Say {{ text }}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PENSTOCK_DATA": str(shared.data)} | EMBEDDED,
    ) as running:
        assert running.stdin
        assert running.stdout
        assert running.stderr
        running.stdin.write(rows)
        running.stdin.close()
        running.stdout.read(10)
        running.stdout.close()
        told = running.stderr.read()
        assert running.wait(120) == 0, told
    assert b"Broken" not in told
    assert b"200 succeeded" in told


def test_a_folder_of_documents_becomes_a_sheet_and_a_file_that_is_broken_is_named(shared, tmp_path: Path):
    # Given a folder of invoices with others in it
    folder = tmp_path / "invoices"
    (folder / "2026").mkdir(parents=True)
    (folder / "a.pdf").write_bytes(pdf(2))
    (folder / "2026" / "b.docx").write_bytes(docx("5 €"))
    (folder / "notes.xlsx").write_bytes(b"x")
    (folder / ".hidden.pdf").write_bytes(b"x")

    # When it is run, and once more
    ran = piped(shared, b"", str(folder), "--prompt", "What is the sum?")
    again = piped(
        shared, b"", str(folder / "*.pdf"), str(folder / "2026" / "b.docx"), "--prompt", "x", "-o", "-"
    )

    # Then each document has its row, and what was left out is told
    assert ran.returncode == 0, ran.stderr
    assert b"notes.xlsx is left out" in ran.stderr
    with (tmp_path / "invoices.answers.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = [(row["file"], row["page count"], row["status"]) for row in csv.DictReader(file)]
    assert rows == [("2026/b.docx", "", "succeeded"), ("a.pdf", "2", "succeeded")]
    assert again.returncode == 0, again.stderr
    assert again.stdout.decode("utf-8-sig").splitlines()[1].startswith("a.pdf,2,")

    # And a broken one is named before anything is asked
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7")
    broken = piped(shared, b"", str(folder), "--prompt", "What is the sum?")
    assert broken.returncode == 2
    assert b"broken.pdf" in broken.stderr
    assert b"damaged" in broken.stderr
