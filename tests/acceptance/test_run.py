"""`penstock run` as its user sees it, against an embedded stack of its own."""

import csv
import json
import sqlite3
from pathlib import Path

import openpyxl
import pytest

from tests.support.commands import Command, Stack
from tests.support.servers import wait_until

PROMPT = "Say it in one word: {{ review }}"


@pytest.fixture
def penstock(tmp_path):
    """Start a command, on a data directory of this test's own unless another is given."""
    started: list[Command] = []

    def start(*arguments: str, data: Path = tmp_path / "data", **environment: str) -> Command:
        started.append(Command(arguments, data, **environment))
        return started[-1]

    yield start
    for command in started:
        command.clear_away()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A stack that runs already."""
    running = Stack(tmp_path_factory.mktemp("run") / "data")
    yield running.is_ready()
    running.clear_away()


@pytest.fixture
def reviews(tmp_path) -> Path:
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [[str(number), f'review "{number}"\nin two lines'] for number in range(20)]
        csv.writer(file).writerows([["id", "review"], *rows])
    return path


def answers(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def attempts(data: Path) -> list[int]:
    """How often each record was asked, from the ledger."""
    with sqlite3.connect(f"file:{data / 'penstock.db'}?mode=ro", uri=True) as database:
        return [count for (count,) in database.execute("SELECT count(*) FROM attempt GROUP BY job_id, idx")]


def test_a_table_comes_back_with_its_answers_from_a_stack_of_the_runs_own(penstock, reviews):
    # When
    ran = penstock("run", str(reviews), "--prompt", PROMPT)
    # Then
    assert ran.ends(120) == 0, ran.said
    rows = answers(reviews.with_name("reviews.answers.csv"))
    assert [row["id"] for row in rows] == [str(number) for number in range(20)]
    assert all("[simulated]" in "".join(row.values()) for row in rows)
    assert "all answers are INVENTED" in ran.said
    assert "20 succeeded" in ran.said
    assert attempts(ran.data) == [1] * 20


def test_ctrl_c_in_mid_job_keeps_it_and_the_same_command_goes_on_without_asking_twice(penstock, reviews):
    # Given
    slow = {"SIMULATED_REQUESTS_PER_MINUTE": "10"}  # half of them leave at once
    first = penstock("run", str(reviews), "--prompt", PROMPT, **slow)
    first.says("20 records", 90)
    wait_until(lambda: 3 <= len(attempts(first.data)) < 17, seconds=60, what="some records have been asked")
    # When
    first.interrupt()
    # Then
    assert first.ends(60) == 130
    job_id = first.said.partition("job ")[2][:36]
    assert "the job is kept, and the same command resumes it" in first.said
    assert "Traceback" not in first.said
    so_far = answers(reviews.with_name("reviews.answers.csv"))
    assert 3 <= len(so_far) < 20
    assert f"{len(so_far)} of 20 answers so far are in" in first.said
    # And when
    second = penstock("run", str(reviews), "--prompt", PROMPT)
    # Then
    assert second.ends(120) == 0, second.said
    assert job_id in second.said
    assert len(answers(reviews.with_name("reviews.answers.csv"))) == 20
    assert attempts(first.data) == [1] * 20


def test_a_finished_job_is_written_out_again_and_nothing_is_paid_unless_it_is_asked_again(
    penstock, reviews, shared
):
    # Given
    command = ("run", str(reviews), "--prompt", PROMPT, "--system", "Be brief.")
    out = reviews.with_name("reviews.answers.csv")
    first = penstock(*command, data=shared.data)
    assert first.ends() == 0, first.said
    assert "starting the stack" not in first.said
    asked = len(attempts(shared.data))
    out.unlink()
    # When
    second = penstock(*command, data=shared.data)
    # Then
    assert second.ends() == 0, second.said
    assert "nothing is run or paid for again" in second.said
    assert len(answers(out)) == 20
    assert len(attempts(shared.data)) == asked
    # And when
    third = penstock(*command, "--again", data=shared.data)
    # Then
    assert third.ends() == 0, third.said
    assert len(attempts(shared.data)) == asked + 20


def test_prompt_system_schema_and_params_may_be_given_as_files_and_options(
    penstock, reviews, shared, tmp_path
):
    # Given
    (tmp_path / "prompt.txt").write_text("Beurteile:\n{{ review }} – groß?\n", encoding="utf-8-sig")
    (tmp_path / "system.txt").write_text("Fasse dich kurz.", encoding="utf-8")
    schema = {"type": "object", "properties": {"good": {"type": "boolean"}}, "required": ["good"]}
    (tmp_path / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    files = ("prompt-file", "prompt.txt"), ("system-file", "system.txt"), ("schema", "schema.json")
    # When
    options = [part for name, file in files for part in (f"--{name}", str(tmp_path / file))]
    ran = penstock("run", str(reviews), *options, "--param", "temperature=0", data=shared.data)
    # Then
    assert ran.ends() == 0, ran.said
    told = answers(reviews.with_name("reviews.answers.csv"))
    assert {row["good"] for row in told} <= {"true", "false"}
    assert "answer" not in told[0]
    # And what is sent is what was given
    query = "SELECT template, system, params, schema FROM job_spec ORDER BY job_id DESC"
    with sqlite3.connect(f"file:{shared.data / 'penstock.db'}?mode=ro", uri=True) as database:
        template, system, params, sent = database.execute(query).fetchone()
    assert (template, system) == ("Beurteile:\n{{ review }} – groß?", "Fasse dich kurz.")
    assert (json.loads(params), json.loads(sent)) == ({"temperature": 0}, schema)


@pytest.mark.parametrize("command", ["run", "estimate"])
def test_a_misspelt_model_says_which_was_meant_and_how_all_are_listed(penstock, reviews, shared, command):
    ran = penstock(command, str(reviews), "--prompt", PROMPT, "--model", "claude-haiku-4.5", data=shared.data)
    assert ran.ends() == 2
    assert "'claude-haiku-4.5' is not known: did you mean 'claude-haiku-4-5'?" in ran.said
    assert "`penstock models` lists all names and prices" in ran.said


def test_a_run_works_in_a_locale_that_knows_ascii_alone(penstock, tmp_path):
    # Given
    table = tmp_path / "Größe.csv"
    table.write_text("Größe\nsehr groß\n", encoding="utf-8")
    posix = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}
    # When
    ran = penstock("run", str(table), "--prompt", "Schön: {{ Größe }}", **posix)
    # Then
    assert ran.ends(120) == 0, ran.said
    [row] = answers(tmp_path / "Größe.answers.csv")
    assert row["Größe"] == "sehr groß"
    assert "1 succeeded" in ran.said
    assert "Größe.answers.csv" in ran.output.read_text(encoding="utf-8")


def test_a_workbook_and_a_tsv_file_come_back_as_what_they_were(penstock, shared, tmp_path):
    # Given a workbook with another sheet, and a TSV file with a cell that a spreadsheet evaluates
    book = openpyxl.Workbook()
    for row in (["id", "review"], [1, "fine"]):
        book.active.append(row)
    book.create_sheet("Notes")["A1"] = "kept"
    book.save(tmp_path / "a.xlsx")
    (tmp_path / "b.tsv").write_bytes(b"id\treview\n=1\tfine\n")

    # When both are run, the second one raw
    first = penstock("run", str(tmp_path / "a.xlsx"), "--prompt", PROMPT, data=shared.data)
    second = penstock("run", str(tmp_path / "b.tsv"), "--prompt", PROMPT, "--raw", data=shared.data)
    assert [run.ends() for run in (first, second)] == [0, 0], first.said + second.said

    # Then
    answered = openpyxl.load_workbook(tmp_path / "a.answers.xlsx")
    assert answered.sheetnames == ["Sheet", "Notes"]
    assert [cell.value for cell in answered["Sheet"][1]][:4] == ["id", "review", "answer", "status"]
    assert answered["Sheet"]["D2"].value == "succeeded"
    lines = (tmp_path / "b.answers.tsv").read_bytes().split(b"\n")
    assert lines[0].startswith(b"id\treview\tanswer\tstatus")
    assert lines[1].startswith(b"=1\tfine\t")


def test_two_equal_runs_at_once_make_one_job(penstock, reviews, shared, tmp_path):
    # When
    outs = [tmp_path / name for name in ("a.csv", "b.csv")]
    command = ("run", str(reviews), "--prompt", PROMPT, "--system", "Be quick.")
    runs = [penstock(*command, "-o", str(out), data=shared.data) for out in outs]
    # Then
    assert [run.ends() for run in runs] == [0, 0]
    assert len({run.said.partition("job ")[2][:36] for run in runs}) == 1
    assert answers(outs[0]) == answers(outs[1])


def test_records_that_fail_are_told_by_kind_with_an_example_and_exit_code_3(penstock, tmp_path, shared):
    # Given
    records = tmp_path / "records.jsonl"
    fine = {"custom_id": "fine", "prompt": "Hello"}
    faulty = {
        "custom_id": "faulty",
        "params": {
            "model": "simulated",
            "max_tokens": 10,
            "messages": [{"role": "user", "content": "Hello"}],
            "simulate": {"error": "invalid_request"},
        },
    }
    records.write_text("".join(f"{json.dumps(record)}\n" for record in (fine, faulty)))
    # When
    ran = penstock("run", str(records), "-o", str(tmp_path / "out.jsonl"), data=shared.data)
    # Then
    assert ran.ends() == 3, ran.said
    assert "1 × invalid_request; record 2 (faulty)" in ran.said
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(line["custom_id"], line["status"]) for line in lines] == [
        ("fine", "succeeded"),
        ("faulty", "failed"),
    ]


def test_answers_that_were_cut_are_told_and_asked_again_with_more_room(penstock, reviews, shared):
    # When
    ran = penstock("run", str(reviews), "--prompt", PROMPT, "--max-tokens", "4", data=shared.data)
    # Then
    assert ran.ends() == 0, ran.said
    assert "20 answers were cut at max_tokens 4: ask them again with --max-tokens" in ran.said
    assert {row["stop_reason"] for row in answers(reviews.with_name("reviews.answers.csv"))} == {"max_tokens"}
    # When the command that it names is given
    command = next(part for part in ran.said.split("`") if part.startswith("penstock jobs retry"))
    retried = penstock(*command.split()[1:-1], "4096", data=shared.data)
    assert retried.ends() == 0, retried.said
    # Then the same run brings the whole answers
    again = penstock("run", str(reviews), "--prompt", PROMPT, "--max-tokens", "4", data=shared.data)
    assert again.ends() == 0, again.said
    assert "were cut at" not in again.said
    assert {row["stop_reason"] for row in answers(reviews.with_name("reviews.answers.csv"))} == {"end_turn"}


def test_bad_input_is_told_whole_and_nothing_is_stored(penstock, reviews, tmp_path, shared):
    # Given
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"prompt":"a"}\n{"prompt":\n[]\n')
    # When
    template = penstock("run", str(reviews), "--prompt", "{{ reviw }}", data=shared.data)
    lines = penstock("run", str(broken), data=shared.data)
    # Then
    assert template.ends() == 2, template.said
    assert "reviw" in template.said
    assert lines.ends() == 2, lines.said
    assert "line 2" in lines.said
    assert "line 3" in lines.said
    with shared.client() as client:
        names = [job["name"] for job in client.get("/jobs").json()["data"]]
    assert "broken.jsonl" not in names


def test_a_missing_file_is_bad_input_and_starts_nothing(penstock, tmp_path):
    ran = penstock("run", str(tmp_path / "nowhere.csv"))
    assert ran.ends() == 2
    assert "nowhere.csv does not exist" in ran.said
    assert not ran.data.exists()


def test_the_first_rows_alone_can_be_asked_and_jobs_are_listed_shown_and_retried(penstock, reviews, shared):
    # Given
    ran = penstock("run", str(reviews), "--prompt", PROMPT, "--rows", "5", data=shared.data)
    assert ran.ends() == 0, ran.said
    assert len(answers(reviews.with_name("reviews.answers.csv"))) == 5
    # When
    listed = penstock("jobs", "list", data=shared.data)
    assert listed.ends() == 0
    newest = listed.said.splitlines()[1]
    shown = penstock("jobs", "show", newest.split()[0], data=shared.data)
    retried = penstock("jobs", "retry", newest.split()[0], data=shared.data)
    watched = penstock("jobs", "watch", newest.split()[0], data=shared.data)
    out = reviews.with_name("results.csv")
    written = penstock("jobs", "results", newest.split()[0], "-o", str(out), data=shared.data)
    # Then
    assert "5/5" in newest
    assert shown.ends() == 0
    assert json.loads(shown.said)["name"] == "reviews.csv"
    assert retried.ends() == 1
    assert "nothing to retry" in retried.said
    assert watched.ends() == 0
    assert "is completed: 5 of 5 records have ended" in watched.said
    assert written.ends() == 0, written.said
    assert len(answers(out)) == 5
