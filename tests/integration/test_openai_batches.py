"""Batches of files at the front door. No worker runs: the test itself says how records end."""

import gzip
import io
import json
import uuid
from itertools import chain

import pytest
from sqlalchemy import select, update

from app.core.pipeline import lifecycle
from app.core.reading.job_json import PREFIX
from app.dialects.openai import file_list
from app.services import job_actions
from models.base import now
from models.file import FileBatch
from models.job import Job, JobStatus
from models.session import in_transaction, reading
from tasks import advance, sweep
from tests.conftest import penstock_of_its_own
from tests.support.front_door import Door, Worker, number_of

FILES, BATCHES, JOBS = "/v1/files", "/v1/batches", f"{PREFIX}/jobs"
MESSAGES = "/v1/messages"
ANSWER = b'{"id":"msg_1","type":"message","content":[{"type":"text","text":"So\xe2\x80\xa8there."}]}'


@pytest.fixture(scope="module", params=["postgresql", pytest.param("sqlite", marks=pytest.mark.long)])
def house(request, tmp_path_factory):
    """One Penstock for all of these tests; each is a tenant of its own."""
    folder = tmp_path_factory.mktemp("batches")
    with penstock_of_its_own(request.param, request, folder, DEFAULT_MODEL="simulated"):
        yield Door("house")


@pytest.fixture
def door(house, request):
    return house.other(request.node.name[:60], scopes=("jobs:read", "jobs:write"))


@pytest.fixture
def worker(house):
    return Worker()


def line(custom_id="a", text="Why?", url=MESSAGES, model="simulated", **body):
    asked = {"model": model, "messages": [{"role": "user", "content": text}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": asked}


def upload(door, content, purpose="batch"):
    form = {"file": (io.BytesIO(content), "asked.jsonl"), "purpose": purpose}
    response = door.post(FILES, data=form, content_type="multipart/form-data")
    assert response.status_code == 200, response.text
    return response.get_json()["id"]


def post(door, *lines, headers=None, **more):
    body = {"endpoint": MESSAGES, "completion_window": "24h", "requests": list(lines), **more}
    return door.post(BATCHES, json=body, headers=headers or {})


def make(door, *lines, **more):
    response = post(door, *lines, **more)
    assert response.status_code == 200, response.text
    return response.get_json()


def get(door, batch):
    return door.get(f"{BATCHES}/{batch['id']}").get_json()


def job_of(batch):
    return {"id": str(uuid.UUID(batch["id"].removeprefix("batch_")))}


def end(batch):
    advance.run(number_of(job_of(batch)))


def content(door, file_id):
    response = door.get(f"{FILES}/{file_id}/content")
    assert response.status_code == 200, response.text
    return response.get_data()


def test_lines_end_with_a_line_feed_alone_and_nothing_in_them_looks_like_an_end(door, worker):
    batch = make(door, line("a"), line("b"))
    worker.end(job_of(batch), [0, 1], ANSWER)

    text = content(door, get(door, batch)["output_file_id"]).decode()

    assert len(text.splitlines()) == len(text.split("\n")) - 1 == 2
    assert "So\\u2028there." in text


def test_ids_of_lines_are_the_same_whenever_they_are_read(door, worker):
    batch = make(door, line("a"), line("b"))
    worker.end(job_of(batch), [1], ANSWER)
    early = content(door, get(door, batch)["output_file_id"])
    worker.end(job_of(batch), [0], ANSWER)

    late = content(door, get(door, batch)["output_file_id"])

    assert late.startswith(early)
    assert len({json.loads(one)["id"] for one in late.splitlines()}) == 2


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ("invalid_request_error", 400, "invalid_request_error"),
        ("not_found_error", 404, "not_found_error"),
        ("request_too_large", 413, "request_too_large"),
    ],
)
def test_a_refusal_of_the_provider_stands_in_the_response(door, worker, error, status, kind):
    batch = make(door, line("a"))
    worker.end(job_of(batch), [0], error=(error, "no"))
    end(batch)

    [found] = map(json.loads, content(door, get(door, batch)["error_file_id"]).splitlines())

    assert found["error"] is None
    assert found["response"]["status_code"] == status
    assert found["response"]["body"] == {"type": "error", "error": {"type": kind, "message": "no"}}


def test_any_other_failure_is_an_error_without_a_response(door, worker):
    batch = make(door, line("a"), line("b"))
    worker.end(job_of(batch), [0], error=("timeout", "too late"))
    worker.end(job_of(batch), [1], ANSWER, error=("schema_mismatch", "no number"))

    first, second = map(json.loads, content(door, get(door, batch)["error_file_id"]).splitlines())

    assert (first["response"], first["error"]) == (None, {"code": "request_timeout", "message": "too late"})
    assert second["error"] == {"code": "schema_mismatch", "message": "no number"}
    assert second["response"]["body"]["id"] == "msg_1"


def test_what_never_ran_is_told_by_how_its_batch_ended(door, worker):
    cancelled, expired = make(door, line("a"), line("b")), make(door, line("c"))
    worker.end(job_of(cancelled), [0], ANSWER)
    assert door.post(f"{BATCHES}/{cancelled['id']}/cancel").get_json()["status"] == "cancelled"
    past = update(Job).where(Job.uid == uuid.UUID(job_of(expired)["id"])).values(expires_at=now(-1))
    in_transaction(lambda session: session.execute(past))
    end(expired)

    codes = {}
    for batch in (cancelled, expired):
        found = get(door, batch)
        [item] = map(json.loads, content(door, found["error_file_id"]).splitlines())
        codes[item["custom_id"]] = (found["status"], item["response"], item["error"]["code"])

    assert codes == {
        "b": ("cancelled", None, "batch_cancelled"),
        "c": ("expired", None, "batch_expired"),
    }


def test_outputs_can_be_read_for_as_long_as_their_batch_asked(door, worker):
    batch = make(door, line("a"), output_expires_after={"anchor": "created_at", "seconds": 3_600})
    worker.end(job_of(batch), [0], ANSWER)
    running = door.get(f"{FILES}/{get(door, batch)['output_file_id']}").get_json()
    end(batch)
    ended = get(door, batch)
    file = door.get(f"{FILES}/{ended['output_file_id']}").get_json()

    assert running["expires_at"] is None
    assert file["expires_at"] == ended["completed_at"] + 3_600
    past = update(Job).where(Job.uid == uuid.UUID(job_of(batch)["id"])).values(ended_at=now(-3_601))
    in_transaction(lambda session: session.execute(past))
    assert door.get(f"{FILES}/{ended['output_file_id']}").status_code == 404
    assert door.get(f"{FILES}/{ended['output_file_id']}/content").status_code == 404
    assert get(door, batch)["output_file_id"] == ended["output_file_id"]


@pytest.mark.parametrize("own", [True, False])
def test_a_deleted_output_is_gone_and_its_batch_is_not(door, worker, own):
    job = job_of(make(door, line("a"), line("b"))) if own else door.submit(2)
    batch = {"id": f"batch_{uuid.UUID(job['id']).hex}"}
    worker.end(job, [0], ANSWER)
    worker.end(job, [1], error=("timeout", "too late"))
    found = get(door, batch)

    for name in ("output_file_id", "error_file_id"):
        assert door.call("DELETE", f"{FILES}/{found[name]}").get_json()["deleted"] is True
        assert door.get(f"{FILES}/{found[name]}").status_code == 404
        assert door.call("DELETE", f"{FILES}/{found[name]}").status_code == 404
    assert get(door, batch)["request_counts"]["completed"] == 1
    assert door.call("DELETE", f"{FILES}/{found['input_file_id']}").status_code == 400


def test_the_list_has_the_files_of_batches_that_have_ended_and_is_paged_in_both_orders(door, worker):
    # Given uploads, batches that have ended with answers and failures in another order, and one that runs
    first = upload(door, b"{}")
    batches = [make(door, line("a"), line("b")) for _ in range(3)]
    second = upload(door, b"{}", purpose="user_data")
    for batch in (batches[1], batches[0]):
        worker.end(job_of(batch), [0], ANSWER)
        worker.end(job_of(batch), [1], error=("invalid_request_error", "no"))
        end(batch)
    worker.end(job_of(batches[2]), [0, 1], ANSWER)
    third = upload(door, b"{}")

    def pages(**query):
        found = [door.get(FILES, query_string=query).get_json()]
        while found[-1]["has_more"]:
            following = {**query, "after": found[-1]["data"][-1]["id"]}
            found.append(door.get(FILES, query_string=following).get_json())
        return [[file["id"] for file in page["data"]] for page in found]

    theirs = [[f"file-{batch['id'][6:]}-{kind}" for kind in ("output", "error")] for batch in batches]
    oldest_first = [first, second, *theirs[1], *theirs[0], third]

    # Then they are in the order of their creation, however small the pages
    assert pages() == [oldest_first[::-1]]
    assert pages(order="asc") == [oldest_first]
    for limit in (1, 2, 3):
        assert [*chain(*pages(limit=limit))] == oldest_first[::-1]
        assert [*chain(*pages(limit=limit, order="asc"))] == oldest_first
    assert [*chain(*pages(purpose="batch_output", limit=1))] == [*theirs[0][::-1], *theirs[1][::-1]]
    assert pages(purpose="batch") == [[third, first]]
    # And each is what it is when it is asked for alone
    for file in door.get(FILES).get_json()["data"]:
        assert door.get(f"{FILES}/{file['id']}").get_json() == file
    # A deleted one is gone, and so is what a page may still name
    assert door.call("DELETE", f"{FILES}/{theirs[1][0]}").status_code == 200
    assert theirs[1][0] not in pages()[0]
    assert [*chain(*pages(limit=1, after=theirs[1][0]))] == [second, first]
    running = f"file-{batches[2]['id'][6:]}-output"
    assert door.get(FILES, query_string={"after": running}).status_code == 400


def test_a_page_of_files_ends_early_where_their_sizes_take_long_to_know(door, worker, monkeypatch):
    monkeypatch.setattr(file_list, "COUNTED", 3)
    batches = [make(door, line("a"), line("b")) for _ in range(2)]
    for batch in batches:
        worker.end(job_of(batch), [0, 1], ANSWER)
        end(batch)

    page = door.get(FILES).get_json()

    assert (len(page["data"]), page["has_more"]) == (1, True)
    following = door.get(FILES, query_string={"after": page["last_id"]}).get_json()
    assert (len(following["data"]), following["has_more"]) == (1, False)


def test_a_file_that_is_not_there_yet_is_a_404(door):
    batch = make(door, line("a"))

    assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)
    digits = batch["id"].removeprefix("batch_")
    for kind in ("output", "error"):
        assert door.get(f"{FILES}/file-{digits}-{kind}/content").status_code == 404


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "31d"}, "completion_window"),
        ({"completion_window": None}, "completion_window"),
        ({"requests": None}, "input_file_id"),
        ({"input_file_id": "file-1"}, "input_file_id"),
        ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
        ({"metadata": {"x" * 65: "x"}}, "metadata"),
        ({"metadata": {"x": "x" * 513}}, "metadata"),
        ({"metadata": {"x": 1}}, "metadata.x.value"),
        ({"metadata": ["x"]}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after.seconds"),
    ],
)
def test_a_field_that_cannot_be_used_is_a_400_that_names_it(door, change, param):
    response = post(door, line("a"), **change)

    assert response.status_code == 400
    assert response.get_json()["error"]["param"] == param
    assert door.get(BATCHES).get_json()["data"] == []


def test_what_was_found_instead_is_said(door):
    def said(response):
        return response.get_json()["error"]["message"]

    assert said(door.post(BATCHES, json=[1])) == "body: give a JSON object; found a list"
    assert said(post(door, requests=None)).endswith("found neither")
    assert said(post(door, line("a"), input_file_id="file-1")).endswith("found both")
    assert said(door.get(BATCHES, query_string={"after": "x"})) == "after: give the id of a batch; found 'x'"
    assert said(door.get(BATCHES, query_string={"limit": 101})).endswith("from 1 to 100; found 101")
    assert said(door.get(FILES, query_string={"limit": "x"})).endswith("from 1 to 10,000; found 'x'")
    for found in (60, "3600"):
        refused = post(door, line("a"), output_expires_after={"anchor": "created_at", "seconds": found})
        assert said(refused).endswith(f"give a whole number from 3,600 to 2,592,000; found {found!r}")


def test_all_that_is_wrong_with_a_call_is_in_its_message(door):
    few = door.post(BATCHES, json={"endpoint": "/v1/x", "requests": []}).get_json()["error"]
    many = post(door, metadata={str(number): number for number in range(8)}).get_json()["error"]

    assert (few["message"].count("; "), few["param"]) == (2, "endpoint")
    assert "found /v1/x; completion_window: Missing data" in few["message"]
    assert many["message"].endswith("metadata.4.value: give a string; and 3 more")


def test_a_batch_is_made_of_a_file_for_batches_alone(door):
    file = upload(door, json.dumps(line("a")).encode(), purpose="user_data")
    body = {"endpoint": MESSAGES, "completion_window": "24h"}

    refused = door.post(BATCHES, json={**body, "input_file_id": file})
    missing = door.post(BATCHES, json={**body, "input_file_id": "file-" + "0" * 32})

    assert (refused.status_code, refused.get_json()["error"]["param"]) == (400, "input_file_id")
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"\n \n", "empty_file"),
        (gzip.compress(b"{}", mtime=0), "invalid_json_line"),
        (b"\xff\xfe{\x00x", "invalid_file_format"),
        (b'{"custom_id":', "invalid_json_line"),
    ],
)
def test_a_file_that_holds_no_requests_is_a_batch_that_failed(door, content, code):
    file = upload(door, content)
    body = {"endpoint": MESSAGES, "completion_window": "24h", "input_file_id": file}

    batch = door.post(BATCHES, json=body).get_json()

    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", code)
    assert batch["failed_at"] >= batch["created_at"]
    # Then every contract can read it
    job = door.get(f"{JOBS}/{batch['id']}").get_json()
    assert (job["status"], job["total"]) == ("failed", 0)
    assert batch["errors"]["data"][0]["message"] in job["status_reason"]
    assert door.post(f"{BATCHES}/{batch['id']}/cancel").status_code == 409


def test_a_batch_whose_models_have_no_key_says_of_each_what_is_missing(door):
    batch = make(door, line("a", model="claude-haiku-4-5"), line("b", model="gpt-4o-mini"))

    assert (batch["status"], batch["output_file_id"], batch["error_file_id"]) == ("failed", None, None)
    first, second = batch["errors"]["data"]
    assert (first["line"], first["code"], first["param"]) == (1, "model_not_found", "body.model")
    assert "ANTHROPIC_API_KEY" in first["message"]
    assert "OPENAI_API_KEY" in second["message"]


def test_a_failed_batch_that_is_sent_again_under_its_key_is_the_same(door):
    sent = [post(door, [1], headers={"Idempotency-Key": "bad"}).get_json() for _ in range(2)]

    assert sent[0] == sent[1]
    assert sent[0]["status"] == "failed"


def test_the_sdks_retry_finds_the_batch_of_its_first_attempt(door):
    first = post(door, line("a"), headers={"x-stainless-retry-count": "0"}).get_json()
    again = post(door, line("a"), headers={"x-stainless-retry-count": "1"}).get_json()
    meant = post(door, line("a"), headers={"x-stainless-retry-count": "0"}).get_json()

    assert first["id"] == again["id"] != meant["id"]


def test_a_job_of_another_contract_is_a_batch_with_all_that_the_sdk_requires(door, worker):
    job = door.submit(2, metadata={"of": "me", "depth": 2})
    worker.end(job, [0], ANSWER)
    worker.end(job, [1], error=("invalid_request_error", "no"))
    advance.run(number_of(job))

    batch = door.get(f"{BATCHES}/{job['id']}").get_json()

    assert batch["id"] == f"batch_{uuid.UUID(job['id']).hex}"
    assert (batch["completion_window"], batch["endpoint"]) == ("24h", "/v1/chat/completions")
    assert batch["metadata"] == {"of": "me", "depth": "2"}
    assert batch["penstock"]["job_id"] == job["id"]
    [asked] = [json.loads(one) for one in content(door, batch["input_file_id"]).splitlines()][:1]
    assert asked["body"]["messages"] == [{"role": "user", "content": "Say 0"}]
    [refused] = map(json.loads, content(door, batch["error_file_id"]).splitlines())
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("r1", 400)
    assert door.get(BATCHES).get_json()["data"] == [batch]


def test_a_batch_is_read_and_cancelled_by_each_form_of_its_id_at_the_native_door(door):
    batch = make(door, line("a"))
    digits = batch["id"].removeprefix("batch_")

    for name in (batch["id"], f"msgbatch_{digits}", job_of(batch)["id"]):
        assert door.get(f"{JOBS}/{name}").get_json()["id"] == job_of(batch)["id"]
        assert door.get(f"{BATCHES}/{name}").get_json()["id"] == batch["id"]
    assert door.post(f"{JOBS}/{batch['id']}/cancel").get_json()["status"] == "cancelled"
    found = get(door, batch)
    assert found["cancelling_at"] is not None
    assert (found["status"], found["cancelled_at"] >= found["cancelling_at"]) == ("cancelled", True)


def test_removed_content_takes_the_files_along(door, worker):
    batch = make(door, line("a"))
    worker.end(job_of(batch), [0], ANSWER)
    end(batch)
    found = get(door, batch)
    removed = update(Job).where(Job.uid == uuid.UUID(job_of(batch)["id"])).values(content_removed_at=now())
    in_transaction(lambda session: session.execute(removed))

    assert get(door, batch)["status"] == "completed"
    for name in ("input_file_id", "output_file_id"):
        assert door.get(f"{FILES}/{found[name]}/content").status_code == 404


def test_a_batch_whose_job_is_deleted_is_gone_with_its_files(door, worker, request):
    batch = make(door, line("a"))
    worker.end(job_of(batch), [0], ANSWER)
    end(batch)
    output = get(door, batch)["output_file_id"]
    job_actions.act(door.tenant_id, job_of(batch)["id"], lifecycle.delete)

    assert door.get(f"{BATCHES}/{batch['id']}").status_code == 404
    assert door.get(f"{FILES}/{output}").status_code == 404


def test_a_batch_that_was_given_up_while_it_was_stored_leaves_nothing(door):
    number = number_of(job_of(make(door, [1])))  # nobody has opened a window for it
    given_up = update(Job).where(Job.id == number).values(status=JobStatus.STAGING, deleted_at=now())
    in_transaction(lambda session: session.execute(given_up))

    sweep.clear_away()

    with reading() as session:
        for table in (FileBatch.job_id, Job.id):
            assert session.scalars(select(table).where(table == number)).all() == []


def test_a_batch_that_failed_is_read_through_every_contract(house):
    batch = make(house, [1])
    id = job_of(batch)["id"]

    for path in (
        f"{JOBS}/{id}",
        f"{JOBS}/{id}/records",
        f"{JOBS}/{id}/results",
        f"{JOBS}/{id}/results?format=csv",
        f"{JOBS}/{id}/events",
        f"/batch_status/{id}",
        f"/api/v1/batch/{id}/status",
        f"/api/v1/batch/jobs/{id}",
        f"/api/v1/batch/jobs/{id}/stream",
        f"/api/batch-processor/status/{id}",
        f"/api/batch-processor/results/{id}",
        f"/api/batch/status?batchId={id}",
        f"/api/batch/results?batchId={id}",
        f"{FILES}/{batch['input_file_id']}/content",
        f"/v1/messages/batches/{id}",
        f"/v1/messages/batches/{id}/results",
    ):
        response = house.get(path)
        assert response.status_code == 200, f"{path}: {response.text}"
    [listed] = house.get("/v1/messages/batches").get_json()["data"]
    assert (listed["processing_status"], set(listed["request_counts"].values())) == ("ended", {0})
    assert house.post(f"{JOBS}/{id}/retry").status_code == 409
    assert house.call("DELETE", f"{JOBS}/{id}").status_code == 204
