"""A run of the Python client against a real stack: answers as they arrive, the same call again, faults."""

import io
import re
import signal
import subprocess
import sys
from decimal import Decimal
from html import unescape
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from penstock_client import BadInput, JobStopped, NotAllowed, NotFound, Penstock, PenstockError, Unreachable

from tests.support.browser_client import Browser
from tests.support.failing_proxy import RESET, failing_proxy
from tests.support.servers import wait_until

HAIKU = "claude-haiku-4-5"
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["good", "bad"]}, "score": {"type": "integer"}},
    "required": ["mood", "score"],
    "additionalProperties": False,
}


def rows(count, word="Review"):
    return [{"id": number, "review": f"{word} {number}"} for number in range(count)]


def test_each_row_gets_its_answer_with_its_tokens_and_its_cost(done, upstream):
    given = rows(6, done.__name__)
    answers, job = done(given, "Summarise: {{ review }}", model=HAIKU, max_tokens=50, max_cost=1)

    assert {answer.index: answer.row for answer in answers} == dict(enumerate(given))
    assert all(given[answer.index]["review"] in answer.text for answer in answers)
    assert all(answer.succeeded and answer.usage.input_tokens for answer in answers)
    assert sum(answer.cost for answer in answers) == job.cost > 0
    assert (job.status, job.counts.succeeded, job.max_cost) == ("completed", 6, Decimal(1))
    assert len(upstream.books()) == 6


def test_the_same_call_again_gives_the_same_answers_and_pays_for_nothing(done, upstream):
    # Given a run, and one that differs in what changes no answer
    first, job = done(rows(4, f"Again {done}"), "{{ review }}", model=HAIKU)
    again, same = done(rows(4, f"Again {done}"), "{{ review }}", model=HAIKU, priority=9)

    # Then it was the same job; another prompt is another one, and so is one that is wanted
    assert same.id == job.id
    assert {answer.index: answer.text for answer in again} == {one.index: one.text for one in first}
    assert len(upstream.books()) == 4
    _, other = done(rows(4, f"Again {done}"), "{{ review }}!", model=HAIKU)
    _, new = done(rows(4, f"Again {done}"), "{{ review }}", model=HAIKU, again=True)
    assert len({job.id, other.id, new.id}) == 3
    assert len(upstream.books()) == 12


def test_answers_come_before_the_job_has_ended(client, upstream):
    # Given a provider that takes its time for one row
    upstream.configure(faults=[{"kind": "hang", "matching": "Early 5", "first": 1}])

    # When
    run = client.run(rows(6, "Early"), "{{ review }}", model=HAIKU)
    answers = iter(run)
    seen = [next(answers) for _ in range(5)]

    # Then
    assert {answer.index for answer in seen} == {0, 1, 2, 3, 4}
    assert run.job.status == "running"
    run.cancel()
    with pytest.raises(JobStopped, match=r"cancelled.*[56] of 6"):
        list(answers)


PROGRAM = """
import sys
from penstock_client import Penstock

rows = [{"id": number, "review": f"Killed {number}"} for number in range(30)]
for answer in Penstock().run(rows, "{{ review }}", model="claude-haiku-4-5"):
    print(answer.index, flush=True)
"""


def test_a_program_that_is_killed_goes_on_by_the_same_call_and_pays_nothing_twice(site, client, upstream):
    # Given a program that is killed while it reads its first answers
    upstream.configure(latency_ms=200, latency_sigma=0.8)
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={"PENSTOCK_URL": site.url, "PENSTOCK_API_KEY": site.key, "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    printed = [int(program.stdout.readline()) for _ in range(3)]
    program.send_signal(signal.SIGKILL)
    program.wait()
    program.stdout.close()

    # When
    run = client.run(rows(30, "Killed"), "{{ review }}", model=HAIKU)
    answers = list(run)

    # Then all answers are there, once, and each was asked once
    assert sorted(answer.index for answer in answers) == list(range(30))
    assert [answer.index for answer in answers[:3]] == printed
    assert len(upstream.books()) == 30
    assert len([job for job in client.jobs() if job.total == 30]) == 1


def test_a_server_that_goes_away_is_waited_for_and_nothing_is_missed(site, client, upstream):
    # Given a run of which some answers have been read
    upstream.configure(latency_ms=300, latency_sigma=1.0)
    answers = iter(client.run(rows(20, "Away"), "{{ review }}", model=HAIKU))
    seen = [next(answers) for _ in range(2)]

    # When its server cannot be reached for a while
    site.cable.cut()
    wait_until(lambda: len(upstream.books()) == 20, what="all were asked meanwhile")
    site.cable.mend()

    # Then the rest comes, none twice
    seen += answers
    assert sorted(answer.index for answer in seen) == list(range(20))


def test_a_server_that_is_busy_or_loses_a_request_is_asked_again_as_it_says(site):
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    often = busy.replace(b"503 Busy", b"429 Too Many Requests")
    with failing_proxy(site.web.port) as proxy, Penstock(proxy.url, site.key) as client:
        proxy.fail(busy, RESET, often, at=b"POST /api/v1/jobs")
        run = client.run(["Busy?"], model="simulated")
        proxy.fail(often, RESET, busy, at=b"/events")
        assert [answer.succeeded for answer in run] == [True]
        assert not proxy.answers
        assert sum(job.metadata == run.job.metadata for job in client.jobs()) == 1


def test_a_job_that_was_cancelled_or_deleted_is_done_again(client, upstream):
    # Given a job that was cancelled
    upstream.configure(faults=[{"kind": "hang", "first": 1}])
    first = client.run(["Gone?"], model=HAIKU)
    wait_until(upstream.books, what="the call that hangs has arrived")
    first.cancel()
    with pytest.raises(JobStopped):
        first.wait()
    assert first.to_frame("pandas")["status"].tolist() == ["cancelled"]

    # When, then
    second = client.run(["Gone?"], model=HAIKU)
    assert second.wait().status == "completed"
    assert second.id != first.id


def test_a_paused_job_says_so_and_the_same_call_resumes_it(client, upstream):
    # Given a job that its cap pauses
    asked = {"model": HAIKU, "max_tokens": 1_000}
    run = client.run(rows(3, "Capped"), "{{ review }}", max_cost="0.000001", **asked)
    with pytest.raises(JobStopped, match="paused") as stopped:
        run.wait()
    assert stopped.value.job.counts.succeeded == 0

    # When it is called again with more to spend
    again = client.run(rows(3, "Capped"), "{{ review }}", max_cost=1, **asked)

    # Then
    assert again.id == run.id
    assert again.wait().counts.succeeded == 3


def test_what_failed_is_told_and_can_be_asked_again(client, upstream):
    upstream.configure(faults=[{"kind": "status", "status": 400, "matching": "Odd 1", "first": 1}])
    run = client.run(rows(3, "Odd"), "{{ review }}", model=HAIKU)
    failed = {answer.index: answer.error.type for answer in run if answer.error}
    assert failed == {1: "invalid_request_error"}

    run.retry()
    assert {answer.index: answer.succeeded for answer in run} == {0: True, 1: True, 2: True}
    assert len(upstream.books()) == 4


def test_fields_are_values_and_columns_of_a_frame(done, client):
    fields = {"mood": "good | bad", "score": "1..5", "id?": "text # of the order", "seen": "yes/no"}
    answers, _ = done(rows(3, "Typed"), "{{ review }}", model="simulated", fields=fields)
    assert all(answer.value["mood"] in ("good", "bad") for answer in answers)
    assert all(type(answer.value["score"]) is int for answer in answers)

    frame = client.run(rows(3, "Typed"), "{{ review }}", model="simulated", fields=fields).to_frame("polars")
    columns = ["id", "review", "mood", "score", "answer.id", "seen", "status", "error", "cost"]
    assert frame.columns == columns
    assert [str(frame[name].dtype) for name in ("score", "seen")] == ["Int64", "Boolean"]


def test_a_schema_is_one_of_any_kind(client):
    [answer] = client.run(["Typed?"], model="simulated", schema=SCHEMA)
    assert answer.value["mood"] in ("good", "bad")
    assert (
        client.run(["Typed?"], model="simulated", schema=SCHEMA).to_frame("pandas")["score"].dtype == "Int64"
    )


def test_rows_are_tried_first_and_the_same_job_goes_on_with_the_others(client, upstream):
    # Given a run that asks four of its rows, one of them twice
    given = [*rows(11, "Tried"), {"id": 11, "review": "Tried 0"}]
    asked = {"model": HAIKU, "dedupe": True, "try_first": 4}
    run = client.run(given, "{{ review }}", **asked)

    # Then it ends with their answers and says what all will cost; the same call waits, too
    assert 4 <= len(list(run)) <= 5
    assert run.job.is_tried
    assert run.job.forecast.low <= run.job.forecast.likely <= run.job.forecast.high
    assert client.run(given, "{{ review }}", **asked).job.status == "paused"

    # When it goes on, then nothing is asked twice
    run.resume()
    answers = {answer.index: answer for answer in run}
    assert (answers[11].copy_of, answers[11].cost, answers[11].text) == (0, 0, answers[0].text)
    assert len(answers) == 12
    assert len(upstream.books()) == 11
    assert run.job.saved["dedupe"]["records"] == 1


def test_frames_come_back_with_their_own_index_and_types(client):
    # Given a frame with an index of its own, dates, and something missing
    index = pd.Index([30, 10, 20], name="key")
    days = pd.to_datetime(["2026-01-02", None, "2026-03-04"])
    frame = pd.DataFrame({"day": days, "stars": [1, None, 3], "text": ["a", "b", "c"]}, index=index)

    # When
    run = client.run(frame, "{{ day }} {{ text }} {{ stars }}", model="simulated")
    back = run.to_frame()

    # Then
    assert [row["day"] for row in sorted_rows(run)] == ["2026-01-02", None, "2026-03-04"]
    assert [row["stars"] for row in sorted_rows(run)] == [1, None, 3]
    pd.testing.assert_frame_equal(back[["day", "stars", "text"]], frame)
    assert list(back.columns[3:]) == ["answer", "status", "error", "cost"]
    assert back.loc[30, "answer"].startswith("[simulated]")

    # And polars' own
    again = client.run(pl.from_pandas(frame), "{{ day }} {{ text }}", model="simulated").to_frame()
    assert isinstance(again, pl.DataFrame)
    assert again["status"].to_list() == ["succeeded"] * 3
    table = pa.table({"text": ["a", "b"]})
    back = client.run(table, "{{ text }}", model="simulated").to_frame("polars")
    assert back["text"].to_list() == ["a", "b"]


def sorted_rows(run):
    return [answer.row for answer in sorted(run, key=lambda answer: answer.index)]


def test_a_sheet_is_read_by_the_server_and_comes_back_with_its_answers(client, tmp_path):
    sheet = tmp_path / "reviews.csv"
    sheet.write_text("id;review\r\n1;Gut\r\n2;\r\n3;Schlecht\r\n")

    run = client.run(sheet, "Summarise: {{ review }}", model="simulated")
    saved = run.save(tmp_path / "answers.csv") if run.wait() else None

    assert (run.job.name, run.job.total) == ("reviews.csv", 2)  # a blank row is not asked
    assert [line.split(";")[0] for line in saved.read_text("utf-8-sig").splitlines()] == ["id", "1", "3"]
    for library in ("pandas", "polars"):
        frame = run.to_frame(library)
        assert [*frame.columns[:3]] == ["id", "review", "answer"]
        assert list(frame["id"]) == [1, 3]


def test_a_folder_of_documents_is_sent_and_comes_back_as_a_sheet(done, client, tmp_path):
    # Given documents, one of them hidden
    (tmp_path / "deep").mkdir()
    for name in ("a.txt", "deep/b.html", ".hidden.txt"):
        (tmp_path / name).write_text(f"<p>Invoice {name}</p>")

    answers, job = done(tmp_path, "What is this?", model="simulated", fields={"vendor": "text"})

    assert sorted(answer.row["file"] for answer in answers) == ["a.txt", "deep/b.html"]
    assert all(answer.value["vendor"] for answer in answers)
    frame = client.answers(job).to_frame("pandas")
    assert list(frame.columns[:3]) == ["file", "page count", "vendor"]


def test_a_quote_costs_nothing_and_says_what_a_run_would(client, upstream):
    quote = client.estimate(rows(5, "Quoted"), "Summarise: {{ review }}", model=HAIKU)

    assert (quote.records, quote.first_prompt) == (5, "Summarise: Quoted 0")
    assert Decimal(0) < quote.cost.low <= quote.cost.likely <= quote.cost.high
    assert not upstream.books()
    assert not any(job.total == 5 and job.name == "Quoted" for job in client.jobs())


def test_a_job_is_found_by_its_id_with_its_answers(client):
    made = client.run(["One", "Two"], model="simulated", name="known")
    made.wait()

    job = client.job(made.id)
    assert (job.name, job.status, job.counts.succeeded) == ("known", "completed", 2)
    assert sorted(answer.index for answer in client.answers(job)) == [0, 1]
    assert next(iter(client.jobs())).id == made.id


def test_every_refusal_says_what_is_wrong_and_where(site, client):
    with pytest.raises(BadInput, match="line 2") as bad:
        client.run([{"review": "Good"}, {"review": ""}], "{{ review }}", model="simulated")
    assert bad.value.status == 422
    assert bad.value.details["problems"][0]["where"] == "line 2"
    assert bad.value.request_id
    with pytest.raises(BadInput, match="did you mean `max_tokens`"):
        client.run(["A"], model="simulated", max_token=3)
    with pytest.raises(NotFound):
        client.job("01a21ce3-7c05-7551-8a45-67ff86d032df")
    with pytest.raises(NotAllowed), Penstock(site.url, "pk_unknown") as stranger:
        next(stranger.jobs())


def test_a_wrong_address_is_told_within_seconds_and_no_key_is_ever_shown(site, monkeypatch):
    monkeypatch.setattr("penstock_client.wire.FIRST", 0.2)
    secret = "pk_very_secret"
    client = Penstock("http://127.0.0.1:1/", secret)
    with client, pytest.raises(Unreachable, match=r"127\.0\.0\.1:1") as away:
        client.run(["A"])
    for shown in (repr(client), str(away.value), repr(vars(client)), repr(client._http.headers)):
        assert secret not in shown
    with pytest.raises(PenstockError, match="PENSTOCK_API_KEY"):
        Penstock(site.url)
    with pytest.raises(PenstockError, match="url: give") as wrong:
        Penstock("127.0.0.1:8000", secret)
    assert secret not in str(wrong.value)


def test_progress_is_drawn_in_a_terminal_alone(site, tmp_path):
    program = tmp_path / "run.py"
    program.write_text(
        "from penstock_client import Penstock\nPenstock().run(['Shown'], model='simulated').wait()"
    )
    command = [sys.executable, str(program)]
    terminal = ["script", "--quiet", "--return", "--command", " ".join(command), "/dev/null"]
    shown = {"PENSTOCK_URL": site.url, "PENSTOCK_API_KEY": site.key, "LANG": "C.UTF-8"}
    seen = [
        subprocess.run(
            arguments,
            env={**shown, "PYTHONPATH": ":".join(sys.path), "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=True,
        ).stdout
        for arguments in (terminal, command)
    ]
    assert "1/1 100% · $0.00" in seen[0]
    assert seen[1] == ""


def test_rows_of_any_length_are_read_one_by_one(client, tmp_path: Path):
    # Given a stream of rows that is never a list
    run = client.run((f"Row {number}" for number in range(3_000)), model="simulated")
    assert sum(answer.row == f"Row {answer.index}" for answer in run) == 3_000


def test_the_python_that_the_page_shows_runs_and_does_what_the_page_does(
    site, client, upstream, tmp_path, monkeypatch, capsys
):
    # Given a job of which one record failed, and a sheet that was dropped on the page
    monkeypatch.setenv("PENSTOCK_API_KEY", site.key)
    monkeypatch.chdir(tmp_path)
    upstream.configure(faults=[{"kind": "status", "status": 400, "matching": "Page 1", "first": 1}])
    run = client.run(rows(3, "Page"), "{{ review }}", model=HAIKU)
    run.wait()
    sheet = b"id,review\n1,Dropped\n2,There\n"
    (tmp_path / "dropped.csv").write_bytes(sheet)
    browser = Browser(site.service.door)

    def do(path):
        """What the Python on a page prints."""
        found = re.search(r"<h3>Python</h3><pre[^>]*><code>(.*?)</code>", browser.see(path), re.DOTALL)
        exec(unescape(found[1]).replace("http://localhost", site.url), {})
        return capsys.readouterr().out

    # Then each page's is what it shows
    at = f"/ui/jobs/{run.id}"
    assert "status='completed'" in do(at)
    assert do(f"{at}/records").count("succeeded") == 2
    assert [do(f"{at}{view}").count("\n") for view in ("/records?status=failed", "/errors")] == [1, 1]
    assert do(f"{at}/records/2").startswith("2 succeeded")
    do(f"{at}/compare?with={run.id}")
    assert len((tmp_path / "right.jsonl").read_text().splitlines()) == 3

    # And does what it does
    do(f"{at}/retry")
    assert run.wait().counts.succeeded == 3
    do(f"{at}/delete")
    with pytest.raises(NotFound):
        client.job(run.id)
    browser.get("/ui/new")
    form = {"file": (io.BytesIO(sheet), "dropped.csv")}
    draft = browser.post("/ui/new", form, content_type="multipart/form-data").headers["Location"]
    browser.post(
        draft, {"ask": "prompt", "model": "simulated", "template": "{{ review }}!", "max_tokens": "9"}
    )
    assert do(draft).count("succeeded") == 2
    assert next(client.jobs()).raw["max_tokens"] == 9
