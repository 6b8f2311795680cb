"""Submitting over REST: what is taken, what is refused, and what a second try comes to."""

import io
import json

import pytest
from openpyxl import Workbook
from sqlalchemy import func, select, update

from models import IdempotencyKey, Job, Record
from models.base import now
from models.session import in_transaction, reading
from tests.support.front_door import JOBS, Door

pytestmark = pytest.mark.one_database


@pytest.fixture
def door(environment):
    return Door()


def test_a_json_submission_is_answered_with_the_job_and_where_it_is(door):
    # When three records are submitted
    response = door.post_records(3, name="Reviews", priority=9, metadata={"team": "ops", "\ud800": 1})

    # Then the answer is the whole job, and the address where it can be looked at
    job = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"{JOBS}/{job['id']}"
    assert job["name"] == "Reviews"
    assert job["priority"] == 9
    assert job["created_by"] == "ada"
    assert job["model"] == "simulated"
    assert job["total"] == 3
    assert sum(job["counts"].values()) == 3
    assert job["status"] in ("pending", "running")
    assert job["progress"] == 0
    assert (job["cost"], job["cost_unconfirmed"], job["max_cost"]) == ("0.00", "0.00", None)
    assert job["metadata"] == {"team": "ops", "\ud800": 1}
    assert job["created_at"].endswith("Z")
    assert job["ended_at"] is None
    assert door.get(response.headers["Location"]).get_json()["id"] == job["id"]


def test_a_file_of_each_kind_is_taken(door):
    for name, content, skipped in [
        ("records.jsonl", b'{"prompt":"a"}\n\n{"prompt":"b"}\n', None),
        ("records.ndjson", b'{"prompt":"a"}\n{"prompt":"b"}', None),
        ("reviews.csv", b"prompt,stars\r\na,1\r\n,\r\nb,2\r\n", [3]),
        ("reviews.tsv", b"prompt\tstars\na\t1\nb\t2\n", []),
        ("reviews.xlsx", _workbook([["prompt", "stars"], ["a", 1], ["b", 2]]), []),
    ]:
        response = door.upload(name, content, priority="7", metadata='{"from": "sheet"}')

        job = response.get_json()
        assert response.status_code == 202, response.text
        assert job["total"] == 2
        assert job["priority"] == 7
        assert job["metadata"] == {"from": "sheet"}
        assert job["skipped_rows"] == skipped


def test_a_long_template_and_a_large_file_go_through_a_form(door):
    # Given a template and a file over what forms and memory hold by default
    template = "{{ review }}" + "x" * 900_000
    content = b"review\n" + b"\n".join(b"%d " % number + b"y" * 900 for number in range(2_000))

    response = door.upload("reviews.csv", content, template=template)

    assert response.status_code == 202, response.text
    assert response.get_json()["total"] == 2_000


def test_a_field_that_cannot_be_used_is_named_and_nothing_is_stored(door):
    unusable = [
        {"priority": 11},
        {"priority": "5"},
        {"priority": True},
        {"name": "x" * 256},
        {"name": "two\nlines"},
        {"retries": -1},
        {"expires_in": 0},
        {"timeout": 0},
        {"timeout": 601},
        {"max_tokens": 0},
        {"system": "nul \0"},
        {"template": "half \ud83d"},
        {"metadata": {str(number): 0 for number in range(65)}},
        {"metadata": {"x": "y" * 16_000}},
        {"metadata": []},
        {"params": {"messages": []}},
        {"params": {"stream": True}},
        {"webhook_url": "https://10.0.0.1"},
        {"max_cost": "0"},
        {"colour": "red"},
        {"model": "gpt\n"},
    ]
    for field in unusable:
        response = door.post_records(1, **field)

        assert response.status_code == 422, field
        problems = response.get_json()["error"]["details"]["problems"]
        assert [problem["where"] for problem in problems] == list(field)
    assert _jobs() == 0


def test_what_cannot_be_worked_on_is_refused_at_once(door):
    for fields, status, words in [
        ({"model": "gpt-9"}, 422, "gpt-9"),
        ({"model": "claude-haiku-4-5"}, 422, "ANTHROPIC_API_KEY"),
        ({"template": "{% for x in y %}{% endfor %}"}, 422, "loop"),
        ({"schema": {"type": "objekt"}}, 422, "schema"),
        ({"schema": {"$ref": "http://127.0.0.1:9/schema.json"}}, 422, "schema"),
        ({"schema": {"pattern": "(a)\\1"}}, 422, "schema"),
    ]:
        response = door.post_records(1, **fields)

        assert response.status_code == status, fields
        assert words in response.get_json()["error"]["message"]
    assert _jobs() == 0


def test_every_fault_of_the_records_is_told_with_its_place(door):
    response = door.post_records([{"prompt": "fine"}, {"prompt": ""}, 5, {"custom_id": "a"}])

    error = response.get_json()["error"]
    assert response.status_code == 422
    assert [problem["where"] for problem in error["details"]["problems"]] == [
        "records[1]",
        "records[2]",
        "records[3]",
    ]
    assert "2 more" in error["message"]
    assert _jobs() == 0


def test_broken_json_on_line_7_is_named_by_its_line(door):
    lines = [json.dumps({"prompt": f"p{number}"}) for number in range(1, 11)]
    lines[6] = '{"prompt": "no end'

    response = door.upload("records.jsonl", "\n".join(lines).encode())

    [problem] = response.get_json()["error"]["details"]["problems"]
    assert response.status_code == 422
    assert problem["where"] == "line 7"
    assert _jobs() == 0


def test_a_file_that_cannot_be_used_says_why(door):
    review = {"template": "{{ review }}"}
    for name, content, fields, words in [
        ("reviews.csv", b"", {}, ""),
        ("records.jsonl", b"", {}, "no records"),
        ("reviews.csv", b"review\ngood\n", {"template": "{{ text }}"}, '"text"'),
        ("reviews.csv", b"review\n" + b"x" * 2_000_000, review, "row 2"),
        ("reviews.doc", b"review\n", {}, ".doc"),
        ("reviews.csv", b"prompt\nx\n", {"params": "{"}, "params"),
        ("reviews.csv", b"prompt\nx\n", {"priority": "high"}, "priority"),
    ]:
        response = door.upload(name, content, **fields)

        assert response.status_code == 422, (name, fields)
        assert words in response.get_json()["error"]["message"]
    assert _jobs() == 0


def test_a_body_that_is_no_submission_is_refused_in_words(door):
    deep = b"[" * 99_999
    for body in (b"", b"{", b"[]", b'{"records": 5}', b"{}", b"\xff", b'{"records":[NaN]}', deep):
        response = door.post(JOBS, data=body, content_type="application/json")

        assert response.status_code == 422, body[:20]
        assert response.get_json()["error"]["message"]


@pytest.mark.parametrize("depth", [90, 900, 985])
def test_nothing_is_too_deep_to_be_taken_or_refused_in_words(door, depth):
    # Given what is nested so deep, in each place where a submission may be
    deep = b"[" * depth + b"]" * depth
    for number, body in enumerate(
        (
            b'{"records": [{"prompt": "a"}], "metadata": {"a": %b}}',
            b'{"records": [{"prompt": "a"}], "params": {"a": %b}}',
            b'{"records": [{"prompt": "a"}], "schema": {"const": %b}}',
            b'{"records": [{"messages": [{"role": "user", "content": %b}]}]}',
            b'{"records": [{"row": {"a": %b}}], "template": "{{ a }}"}',
            b'{"records": %b}',
        )
    ):
        # When it is submitted with a key
        response = door.post(
            JOBS,
            data=b'{"model": "simulated", ' + body[1:] % deep,
            content_type="application/json",
            headers={"Idempotency-Key": f"k-{depth}-{number}"},
        )

        # Then it is taken, and can be read and sent again, or refused
        assert response.status_code in (202, 422), (body, response.text)
        if response.status_code == 202:
            assert door.job(response.get_json())["total"] == 1


def test_an_empty_list_of_records_is_refused(door):
    assert door.post_records([]).status_code == 422


def test_another_kind_of_body_is_a_415_that_names_what_is_taken(door):
    response = door.post(JOBS, data=b"a,b", content_type="text/csv")

    assert response.status_code == 415
    assert "multipart/form-data" in response.get_json()["error"]["message"]


def test_a_form_without_a_file_says_so(door):
    for form in ({}, {"file": "text without a name"}):
        response = door.post(JOBS, data=form, content_type="multipart/form-data")

        assert response.status_code == 422
        assert "file" in response.get_json()["error"]["message"]


def test_the_same_key_and_content_find_the_first_job(door):
    # Given a submission with a key
    fields = {"name": "n", "priority": 3, "metadata": {"a": 1, "b": 2}}
    first = door.post_records(2, headers={"Idempotency-Key": "k-1"}, **fields)

    # When it is sent again, its fields in another order
    fields = {"metadata": {"b": 2, "a": 1}, "priority": 3, "name": "n"}
    again = door.post_records(2, headers={"Idempotency-Key": "k-1"}, **fields)

    # Then it is the same job, and says so
    assert again.status_code == 202
    assert again.get_json()["id"] == first.get_json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert _jobs() == 1


def test_the_same_upload_in_another_envelope_is_the_same_submission(door):
    first, again = (
        door.upload("r.csv", b"prompt\nx\n", headers={"Idempotency-Key": "k-1"}, name="n") for _ in range(2)
    )

    assert first.request.content_type != again.request.content_type  # another boundary
    assert again.get_json()["id"] == first.get_json()["id"]


def test_the_same_key_for_other_content_is_refused(door):
    door.post_records(2, headers={"Idempotency-Key": "k-1"})

    other = door.post_records(3, headers={"Idempotency-Key": "k-1"})

    assert other.status_code == 422
    assert "k-1" in other.get_json()["error"]["message"]
    assert _jobs() == 1


def test_a_key_is_its_tenants_own(door):
    mine = door.post_records(2, headers={"Idempotency-Key": "k-1"}).get_json()

    theirs = door.other().post_records(2, headers={"Idempotency-Key": "k-1"}).get_json()

    assert theirs["id"] != mine["id"]


def test_the_key_of_a_deleted_job_makes_no_second_one_silently(door):
    job = door.post_records(2, headers={"Idempotency-Key": "k-1"}).get_json()
    door.post(f"{JOBS}/{job['id']}/cancel")
    assert door.call("DELETE", f"{JOBS}/{job['id']}").status_code == 204

    again = door.post_records(2, headers={"Idempotency-Key": "k-1"})

    assert again.status_code == 409
    assert "deleted" in again.get_json()["error"]["message"]


def test_a_key_that_cannot_be_one_is_refused(door):
    for key in ("", "with space", "\u00e9", "x" * 256):
        assert door.post_records(1, headers={"Idempotency-Key": key}).status_code == 422, key


def test_without_a_key_a_retry_finds_the_job_of_a_minute_ago_and_nothing_else_does(door):
    # Given a submission of an SDK that counts its retries, whose answer was lost
    first = _sent(door, 0)

    # When it is sent again as a retry, then finds the same job
    assert _sent(door, 1) == _sent(door, 2) == first
    assert _jobs() == 1

    # And whoever does not say so, or asks something else, or is somebody else, makes a new one
    second = _sent(door, 0)
    assert second != first
    assert _sent(door, 1) == second
    assert _sent(door, 1, count=3) not in (first, second)
    assert _sent(door.other(), 1) not in (first, second)
    assert door.post_records(2).get_json()["id"] not in (first, second)


def test_without_a_key_a_retry_later_than_a_minute_is_a_new_job(door):
    first = _sent(door, 0)
    in_transaction(lambda s: s.execute(update(IdempotencyKey).values(created_at=now(-61))) and None)

    again = _sent(door, 1)

    assert again != first
    assert _sent(door, 2) == again


def test_a_retry_whose_first_sending_never_arrived_is_a_new_job(door):
    assert _sent(door, 1) == _sent(door, 2)
    assert _jobs() == 1


def test_a_word_about_retries_that_is_none_is_none(door):
    for word in ("", "-1", "one", "\u0661"):
        answers = [
            door.post_records(2, headers={"X-Stainless-Retry-Count": word}).get_json()["id"] for _ in range(2)
        ]
        assert len(set(answers)) == 2, word


def _sent(door, retry: int, count: int = 2) -> str:
    headers = {"X-Stainless-Retry-Count": str(retry)}
    return door.post_records(count, headers=headers).get_json()["id"]


def test_a_caller_that_prefers_to_wait_gets_the_job_as_it_is_when_its_time_is_over(door):
    response = door.post_records(1, headers={"Prefer": "respond-async, wait=1"})

    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "wait=1"


def _workbook(rows) -> bytes:
    book, file = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file.getvalue()


def _jobs() -> int:
    with reading() as session:
        jobs = session.scalar(select(func.count()).select_from(Job))
        records = session.scalar(select(func.count()).select_from(Record))
    assert (jobs == 0) == (records == 0)
    return jobs


@pytest.mark.one_database
def test_a_part_of_a_file_is_chosen_by_fields_and_told_with_job_and_quote(door):
    # Given a table below a title, with a row that has nothing to ask
    table = b"Report,\n,\nid,review\n1,\n2,good\n3,bad\n"
    fields = {"model": "simulated", "template": "{{ review }}", "header_row": "3", "rows": "1"}

    # When it is quoted and submitted
    quote = door.upload("a.csv", table, path=f"{JOBS}/estimate", **fields).get_json()
    job = door.upload("a.csv", table, **fields).get_json()

    # Then the first row with something to ask is taken, and the other one told
    told = '1 row has nothing in "review" and is not asked'
    assert (quote["records"], job["total"]) == (1, 1)
    assert told in quote["warnings"]
    assert told in door.job(job)["warnings"]
    assert job["skipped_rows"] == quote["skipped_rows"] == [4]

    # And lines have no sheets
    lines = door.upload("a.jsonl", b'{"prompt": "x"}\n', model="simulated", sheet="a")
    assert lines.status_code == 422
    assert "only a table has that" in lines.get_json()["error"]["message"]
