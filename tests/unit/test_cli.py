"""The command line as a program: how it starts, and what it says when it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.cli import cli, faults
from app.core.accounts import api_keys
from app.errors import BadInput, Conflict, StackRefused
from config.settings import BadSetting
from tests.support.commands import open_to_others

ROOT = Path(__file__).parents[2]
HEAVY = ("flask", "celery", "sqlalchemy", "httpx2", "rich", "openpyxl", "anthropic")


def penstock(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        umask=0o022,  # as most shells have it
    )


def test_the_command_line_starts_without_the_heavy_libraries():
    script = f"import app.cli, sys; print([name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_an_output_without_room_is_one_line():
    command = [sys.executable, "-m", "app.cli", "models", "--json"]
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr == "error: the output cannot be written: No space left on device\n"


def test_the_list_of_commands_has_a_whole_line_for_each_on_a_terminal_of_80():
    groups = [name for name, command in cli.commands.items() if isinstance(command, click.Group)]
    assert groups
    for arguments in ([], *([name] for name in groups)):
        said = CliRunner().invoke(cli, [*arguments, "--help"], terminal_width=78).stdout  # click leaves two
        _, _, listed = said.partition("\nCommands:\n")
        assert listed
        assert "..." not in listed


@pytest.mark.parametrize(
    "command", [["up"], ["run", "reviews.csv"], ["jobs", "list"], ["keys", "list"], ["migrate"], ["sweep"]]
)
def test_a_wrong_setting_stops_every_command_with_its_name_its_value_and_a_right_one(command):
    ran = penstock(*command, CALL_DEADLINE_SECONDS="soon")
    assert ran.returncode == 2
    assert (
        ran.stderr
        == "error: CALL_DEADLINE_SECONDS='soon' cannot be used: give a whole number from 1 to 3600\n"
    )


def test_where_no_stack_has_run_there_are_no_jobs_and_none_to_watch(tmp_path):
    data = tmp_path / "data"
    listed = penstock("jobs", "list", PENSTOCK_DATA=str(data), PENSTOCK_URL="")
    watched = penstock("jobs", "watch", "any", PENSTOCK_DATA=str(data), PENSTOCK_URL="")
    assert (listed.returncode, watched.returncode) == (1, 1)
    assert f"there are no jobs on {data}" in listed.stderr
    assert "start one with `penstock up`, or set PENSTOCK_URL" in watched.stderr
    assert not data.exists()


def test_a_place_that_cannot_take_the_answers_stops_a_run_before_anything_starts(tmp_path):
    table, data = tmp_path / "a.csv", tmp_path / "data"
    table.write_text("review\nGood\n")
    ran = penstock("run", str(table), "-o", "/proc/answers.csv", PENSTOCK_DATA=str(data), PENSTOCK_URL="")
    assert ran.returncode == 2
    assert "/proc cannot be written to" in ran.stderr
    assert "choose another place for the answers with -o" in ran.stderr
    assert not data.exists()


def test_a_data_folder_that_cannot_be_made_is_told_with_the_variable_to_set(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("review\nGood\n")
    ran = penstock("run", str(table), PENSTOCK_DATA="/proc/data", PENSTOCK_URL="")
    assert ran.returncode == 1
    assert "/proc/data cannot be used" in ran.stderr
    assert "set PENSTOCK_DATA to a folder of yours" in ran.stderr


def test_a_stack_elsewhere_wants_a_key():
    ran = penstock("jobs", "list", PENSTOCK_URL="http://127.0.0.1:1", PENSTOCK_API_KEY="")
    assert ran.returncode == 1
    assert "set PENSTOCK_API_KEY" in ran.stderr


def test_env_is_read_and_what_was_taken_is_said(tmp_path, monkeypatch):
    # Given a directory whose .env also holds what is another program's, and a variable that is set already
    monkeypatch.chdir(tmp_path)
    text = "\ufeff# ours\nexport PENSTOCK_URL='http://127.0.0.1:1'\nDJANGO_KEY=x\nAPI_PORT=\nLOG_LEVEL=loud\n"
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    ours = {"PYTHONPATH": str(ROOT), "LOG_LEVEL": "INFO", "XDG_DATA_HOME": str(tmp_path)}
    # Then
    ran = penstock("jobs", "list", PENSTOCK_API_KEY="pk_x", **ours)
    assert ran.stderr.splitlines()[0] == "from .env: PENSTOCK_URL"
    assert "no answer from http://127.0.0.1:1" in ran.stderr
    assert "PENSTOCK_URL its address?" in ran.stderr
    # And an empty variable of the environment stays empty
    assert "no stack has run there yet" in penstock("jobs", "list", PENSTOCK_URL="", **ours).stderr
    # And a wrong value in it is told as any other
    (tmp_path / ".env").write_bytes(b"CALL_DEADLINE_SECONDS=soon")
    assert "CALL_DEADLINE_SECONDS='soon' cannot be used" in penstock("models", **ours).stderr
    (tmp_path / ".env").write_bytes(b"LOG_LEVEL=\xff")
    ran = penstock("models", **ours)
    assert (ran.returncode, "save it as UTF-8" in ran.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--prompt", "x", "--prompt-file", "x"], "give --prompt or --prompt-file, not both"),
        (["--system-file", "none.txt"], "none.txt cannot be read: No such file"),
        (["--prompt-file", "latin.txt"], "latin.txt is not UTF-8 (byte 3): save it as UTF-8"),
        (["--schema", "list.json"], "list.json is not a JSON Schema: give an object"),
        (["--schema", "latin.txt"], "latin.txt is not UTF-8"),
        (["--schema", "broken.json"], "broken.json is not JSON: "),
        (["--param", "temperature"], "give NAME=VALUE, such as temperature=0"),
        (["--param", "a=1", "--param", "a=2"], "--param a is given twice"),
    ],
)
def test_an_option_that_cannot_be_used_is_named_before_a_stack_is_started(tmp_path, options, told):
    (tmp_path / "rows.csv").write_bytes(b"a\n1\n")
    (tmp_path / "latin.txt").write_bytes("Größe".encode("latin-1"))
    (tmp_path / "list.json").write_bytes(b"[]")
    (tmp_path / "broken.json").write_bytes(b'{"type": ')
    paths = [str(tmp_path / option) if "." in option else option for option in options]
    ran = penstock("run", str(tmp_path / "rows.csv"), *paths, PENSTOCK_DATA=str(tmp_path / "data"))
    assert ran.returncode == 2
    assert told in ran.stderr
    assert not (tmp_path / "data").exists()


def test_keys_are_made_listed_and_revoked_on_the_database_and_the_new_one_stands_alone(tmp_path):
    # Given
    env = {"PENSTOCK_DATA": str(tmp_path), "DATABASE_URL": ""}
    migrated = penstock("migrate", **env)
    assert "from revision none to" in migrated.stdout
    # When
    made = penstock(
        "keys", "create", "--tenant", "acme", "--user", "alice", "--scopes", "jobs:read,admin", **env
    )
    # Then
    key = made.stdout.strip()
    prefix = key.rpartition("_")[0]
    assert made.stdout == f"{key}\n"
    assert "tenant acme, user alice, scopes jobs:read admin" in made.stderr
    listed = penstock("keys", "list", "--tenant", "acme", **env).stdout
    assert prefix in listed
    assert key not in listed
    assert penstock("keys", "revoke", prefix, **env).returncode == 0
    assert penstock("keys", "revoke", "pk_unknown", **env).returncode == 1


def test_what_commands_leave_on_disk_is_for_its_user_alone(tmp_path):
    # Given
    data = tmp_path / "new" / "data"
    env = {"PENSTOCK_DATA": str(data), "DATABASE_URL": ""}
    # When
    assert penstock("migrate", **env).returncode == 0
    assert penstock("keys", "create", **env).returncode == 0
    # Then
    assert {path.name for path in data.iterdir()} >= {"penstock.db"}
    assert open_to_others(data.parent) == []


def test_what_an_earlier_release_left_open_is_closed_and_said(tmp_path):
    # Given
    data = tmp_path / "data"
    env = {"PENSTOCK_DATA": str(data), "DATABASE_URL": ""}
    penstock("migrate", **env)
    (data / "logs").mkdir()
    for path, mode in ((data, 0o755), (data / "logs", 0o775), (data / "penstock.db", 0o644)):
        path.chmod(mode)
    # When
    listed = penstock("keys", "list", **env)
    # Then
    assert open_to_others(data) == []
    for path in (data, data / "logs", data / "penstock.db"):
        assert f"{path} was open to other users" in listed.stderr
    assert penstock("keys", "list", **env).stderr == ""


@pytest.mark.parametrize("command", ["create", "list"])
def test_the_help_says_what_each_scope_allows(command):
    said = " ".join(penstock("keys", command, "--help").stdout.split())
    for scope, meaning in api_keys.MEANINGS.items():
        assert f" {scope} {meaning}" in said


def test_without_tables_the_operator_is_told_to_migrate(tmp_path):
    ran = penstock("keys", "list", PENSTOCK_DATA=str(tmp_path), DATABASE_URL="")
    assert ran.returncode == 1
    assert "run `penstock migrate`" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadSetting("X", "1", "2"), 2),
        (BadInput("no"), 2),
        (Conflict("no"), 1),
        (StackRefused(422, {"message": "no"}), 2),
        (StackRefused(413, {"message": "no"}), 2),
        (StackRefused(401, {"message": "no"}), 1),
        (StackRefused(503, {"message": "no"}), 1),
    ],
)
def test_bad_input_has_an_exit_code_of_its_own(error, code):
    assert faults.report(error) == code


def test_every_problem_of_an_input_is_listed_up_to_a_readable_number(capsys):
    # Given
    problems = [{"where": f"line {number}", "message": "is not JSON"} for number in range(1, 31)]
    error = {"message": "line 1: is not JSON (and 34 more)", "details": {"problems": problems, "more": 5}}
    # When
    faults.report(StackRefused(422, error))
    # Then
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: line 1: is not JSON (and 34 more)"
    assert lines[1] == "  line 1: is not JSON"
    assert lines[-1] == "  … and 15 more"


def test_a_directory_that_cannot_be_made_is_told_without_a_traceback(tmp_path):
    (tmp_path / "file").touch()
    ran = penstock("up", "--data", str(tmp_path / "file" / "data"), "--port", "0")
    assert ran.returncode == 1
    assert (
        ran.stderr
        == f"error: {tmp_path}/file/data: Not a directory: give another directory in PENSTOCK_DATA\n"
    )


def test_a_fault_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        faults.report(ZeroDivisionError())


@pytest.mark.parametrize("command", [["migrate"], ["keys", "list"]])
def test_a_database_that_does_not_answer_is_not_a_missing_migration(command):
    ran = penstock(*command, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert ran.returncode == 1
    assert "check DATABASE_URL, and that its server is running" in ran.stderr
    assert "penstock migrate" not in ran.stderr


def test_a_file_that_is_no_database_is_named_without_a_traceback(tmp_path):
    (tmp_path / "notes.txt").write_text("no database" * 100)
    ran = penstock("migrate", DATABASE_URL=f"sqlite:///{tmp_path / 'notes.txt'}")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        "error: the database cannot be used (file is not a database): check DATABASE_URL, or create the"
        " database first"
    )
