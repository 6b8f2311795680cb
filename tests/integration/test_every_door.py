"""A job that was made through any contract, read and cancelled through any of them."""

import contextlib
import csv
import datetime as dt
import io
import json
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import openpyxl
import pytest
from simple_websocket import Client

from app.dialects.processor.socket import PATH as SOCKET
from tests.support.contracts import (
    ANALYSES,
    BATCHES,
    CANCELS,
    CHATS,
    DOCUMENTS,
    FILES,
    LABELLED,
    MAKERS,
    MESSAGE_BATCHES,
    PROCESSOR,
    read,
    submit,
)
from tests.support.front_door import JOBS
from tests.support.servers import wait_until
from tests.support.shared_stack import running_service

GOOD, REFUSED, HANGING = "Answer this, please.", "Refuse this, please.", "Hang on this, please."
UNSENT = "This waits until the one before has ended."

# The texts of a job in each state, and the words for it of each contract.
STATES = {
    "running": (GOOD, REFUSED, HANGING),
    "answered": (GOOD, GOOD + " Again."),
    "partly": (GOOD, REFUSED),
    "refused": (REFUSED,),
    "cancelled": (GOOD, REFUSED, HANGING, UNSENT),
}
WORDS = {
    "running": (
        "running",
        "IN_PROGRESS",
        "processing",
        "processing",
        "processing",
        "processing",
        "in_progress",
        "in_progress",
    ),
    "answered": (
        "completed",
        "COMPLETED",
        "completed",
        "completed",
        "completed",
        "processed",
        "ended",
        "completed",
    ),
    "partly": (
        "completed",
        "COMPLETED",
        "failed",
        "completed",
        "completed",
        "completed_with_errors",
        "ended",
        "completed",
    ),
    "refused": (
        "completed",
        "COMPLETED",
        "failed",
        "completed",
        "failed",
        "completed_with_errors",
        "ended",
        "completed",
    ),
    "cancelled": (
        "cancelled",
        "FAILED",
        "cancelled",
        "failed",
        "cancelled",
        "cancelled",
        "ended",
        "cancelled",
    ),
}


@dataclass(frozen=True)
class Made:
    """A job, as the native contract has it: what every other one must say of it, too."""

    maker: str
    state: str
    job: dict[str, Any]
    records: list[dict[str, Any]]

    @property
    def id(self) -> str:
        return self.job["id"]

    @property
    def counts(self) -> tuple[int, int, int]:
        """All records, those that succeeded, and those that ended otherwise."""
        counts = self.job["counts"]
        return self.job["total"], counts["succeeded"], sum(counts[word] for word in ("failed", "cancelled"))

    @property
    def ended(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["ended_at"] or record["status"] == "cancelled"]

    @property
    def label(self) -> str | None:
        return f"{self.maker}-{self.state}" if self.maker in LABELLED else None


@pytest.fixture(scope="module")
def service(request, upstream_process, tmp_path_factory):
    """A whole Penstock, whose provider refuses some texts and never answers others."""
    upstream_process.reset()
    upstream_process.configure(
        faults=[
            {"kind": "status", "status": 400, "matching": "Refuse this"},
            {"kind": "hang", "matching": "Hang on"},
        ]
    )
    folder, one_by_one = tmp_path_factory.mktemp("doors"), {"BATCH_MAX_CONCURRENT_LLM_CALLS": "1"}
    with running_service(request, upstream_process, folder, **one_by_one) as made:
        yield made


@pytest.fixture(scope="module")
def house(service):
    """An admin of its tenant."""
    return service.door


@pytest.fixture(scope="module")
def maker(house):
    """A user who made every job, and is no admin."""
    return house.colleague("ada")


@pytest.fixture(scope="module")
def jobs(house, maker):
    """A job of each contract in each state, by both."""
    ids = {
        (contract, state): submit(maker, contract, texts, f"{contract}-{state}")
        for contract in MAKERS
        for state, texts in STATES.items()
    }
    for (_, state), job in ids.items():
        if state == "cancelled":
            wait_until(lambda job=job: is_hanging(house, job), what="it hangs on its last record")
            assert CANCELS["native"](maker, job).status_code == 200
    for (_, state), job in ids.items():
        settled = is_hanging if state == "running" else has_ended
        wait_until(lambda job=job, settled=settled: settled(house, job), what=f"the job is {state}")
    yield {
        (contract, state): Made(
            contract, state, read(house, f"{JOBS}/{job}"), read(house, f"{JOBS}/{job}/records")["data"]
        )
        for (contract, state), job in ids.items()
    }
    for job in ids.values():  # a call that hangs would hold up its worker's end
        CANCELS["native"](maker, job)


def is_hanging(door, job):
    counts = read(door, f"{JOBS}/{job}")["counts"]
    return (counts["succeeded"], counts["failed"], counts["running"]) == (1, 1, 1)


def has_ended(door, job):
    return read(door, f"{JOBS}/{job}")["status"] in ("completed", "cancelled")


# --- what each contract says of a job


def native(door, made, name, word):
    found = read(door, f"{JOBS}/{name}")
    assert found == made.job
    assert found["status"] == word
    assert read(door, f"{JOBS}/{name}/records")["data"] == made.records
    assert made.id in [job["id"] for job in read(door, f"{JOBS}?limit=200")["data"]]


def text(door, made, name, word):
    found = read(door, f"/batch_status/{name}")
    own = made.maker == "text"
    assert (found["total_requests"], found["completed"], found["failed"]) == made.counts
    assert (found["status"], found["message"] is not None) == (word, word == "FAILED")
    assert found["batch_id"] == (made.label or made.id)
    assert found["timestamp"] == (made.job["ended_at"] or made.job["updated_at"])
    assert found["total_processing_time"] == seconds(made.job["created_at"], made.job["ended_at"])
    for item, record in zip(found["results"], made.ended, strict=True):
        assert item["request_index"] == record["index"]
        succeeded = record["status"] == "succeeded"
        assert item["status"] == ("completed" if succeeded else "failed")
        check_failure(item["error"], record)
        if not succeeded:
            assert item["response"] is None
            continue
        answer = item["response"]
        assert (answer["result"], answer["timestamp"]) == (said(record), record["ended_at"])
        assert answer["processing_time"] == record["latency_ms"] / 1000
        assert answer["operation"] == ("summarize" if own else None)
        assert answer["metadata"]["user_metadata"] == ({"of": made.label} if own else None)
        assert (answer["metadata"]["word_count"] is None) is not own
        assert {answer[field] for field in ("sentiment", "key_points", "questions")} <= {None}


def documents(door, made, name, word):
    found = read(door, f"{DOCUMENTS}/{name}")
    own = made.maker == "documents"
    assert found["job_id"] == made.id
    assert (found["total_documents"], found["processed_count"], found["failed_count"]) == made.counts
    assert (found["status"], found["priority"]) == (word, made.job["priority"])
    assert (found["created_at"], found["updated_at"]) == (made.job["created_at"], made.job["updated_at"])
    assert found["collection"] == (f"documents-{made.state}" if own else None)
    if made.state == "running":
        return
    first, *outcomes, last = messages(door.get(f"{DOCUMENTS}/{name}/stream", buffered=True).text)
    assert (first["event_type"], first["timestamp"]) == ("start", made.job["started_at"])
    assert (last["status"], last["timestamp"]) == (word, made.job["ended_at"])
    if made.state == "cancelled":
        assert outcomes.pop()["event_type"] == "cancel"
    unsent = [record["index"] for record in made.ended if record["ended_at"] is None]
    assert [event["document_index"] for event in outcomes] == sorted_by_end(made.ended) + unsent
    for event in outcomes:
        record = made.records[event["document_index"]]
        assert event["event_type"] == ("progress" if record["status"] == "succeeded" else "fail")
        assert event["timestamp"] == (record["ended_at"] or made.job["ended_at"])
        assert event["filename"] == (f"{record['index']}.txt" if own else None)


def analyze(door, made, name, word):
    found = read(door, f"{ANALYSES}/{name}/status")
    assert found["job_id"] == made.id
    assert (found["total_records"], found["completed_count"], found["failed_count"]) == made.counts
    assert found["status"] == word
    assert (found["created_at"], found["updated_at"]) == (made.job["created_at"], made.job["updated_at"])
    assert found["estimated_cost"] == float(made.job["cost"])
    for item, record in zip(found["results"], made.ended, strict=True):
        assert (item["index"], item["success"]) == (record["index"], record["status"] == "succeeded")
        check_failure(item["error"], record)
        assert (item["response"] is None) is not item["success"]
        if item["success"]:
            check_analysis(item["response"], record, own=made.maker == "analyze")
    [listed] = [job for job in read(door, f"{ANALYSES}/jobs?limit=200")["jobs"] if job["job_id"] == made.id]
    assert listed == {field: found[field] for field in listed}


def check_analysis(response, record, *, own):
    other = {"summary": said(record), "insights": None, "next_actions": None, "confidence": None}
    analysis = json.loads(said(record)) if own else other
    fields = ("summary", "insights", "next_actions")
    assert [response[field] for field in fields] == [analysis[field] for field in fields]
    assert response["metadata"] == {
        "confidence": analysis["confidence"],
        "model_version": "claude-haiku-4-5",
        "tokens_used": sum(record["usage"].values()),
    }


def processor(door, made, name, word):
    found = read(door, f"{PROCESSOR}/status/{name}")
    total, succeeded, failed = made.counts
    assert found["batch_id"] == (made.label or made.id)
    assert (found["total_requests"], found["failed_requests"]) == (total, failed)
    assert (found["completed_requests"], found["progress"]) == (succeeded + failed, made.job["progress"])
    assert (found["status"], "error" in found) == (word, word == "failed")
    if made.state == "running":
        assert door.get(f"{PROCESSOR}/results/{name}").status_code == 409
    else:
        assert found["estimated_completion_time"] == made.job["ended_at"]
        took = round(seconds(made.job["started_at"], made.job["ended_at"]) * 1000)
        assert found["processing_time_ms"] == took
    results = read(door, f"{PROCESSOR}/results/{name}?partial=true")["results"]
    for item, record in zip(results, made.ended, strict=True):
        own = record["custom_id"] or f"req_{record['index'] + 1}"
        assert (item["request_id"], item["processing_time_ms"]) == (own, record["latency_ms"])
        assert (item["output"], item["confidence"]) == (said(record), None)
        check_failure(item["error"] and f"{item['error']['type']}: {item['error']['message']}", record)
    listed = read(door, f"{PROCESSOR}/batches?status=all&limit=100")["batches"]
    [batch] = [batch for batch in listed if batch["batch_id"] == found["batch_id"]]
    assert (batch["status"], batch["created_at"]) == (word, made.job["created_at"])
    assert (batch["request_count"], batch["completed_requests"]) == (total, succeeded + failed)


def chats(door, made, name, word):
    found = read(door, f"{CHATS}/status?batchId={name}")
    own = made.maker == "chats"
    assert found["batchId"] == made.id
    assert (found["totalItems"], found["processedItems"], found["failedItems"]) == made.counts
    assert (found["status"], found["aiProvider"]) == (word, "anthropic")
    assert (found["createdAt"], found["updatedAt"]) == (made.job["created_at"], made.job["updated_at"])
    assert (found["name"], found["skippedRows"]) == (made.job["name"], [] if own else None)
    assert (found["searchProvider"], found["pageLanguage"]) == (("none", "en") if own else (None, None))
    assert found in read(door, f"{CHATS}/list")
    results = read(door, f"{CHATS}/results?batchId={name}")
    for item, record in zip(results, made.ended, strict=True):
        assert (item["interactionId"], item["answer"]) == (record["id"], said(record))
        check_failure(item["error"], record)
        index = record["index"]
        row = [index + 2, f"c{index}", STATES[made.state][index], "https://example.com"]
        fields = ("row", "chatId", "REDACTEDQUESTION", "URL")
        assert [item[field] for field in fields] == (row if own else [None] * 4)
        assert item["cost"] == (None if record["cost"] is None else float(record["cost"]))


def anthropic(door, made, name, word):
    found = read(door, f"{MESSAGE_BATCHES}/{name}")
    counts = made.job["counts"]
    assert (found["id"], found["processing_status"]) == (f"msgbatch_{made.id.replace('-', '')}", word)
    assert found["request_counts"] == {
        "processing": counts["pending"] + counts["running"],
        "succeeded": counts["succeeded"],
        "errored": counts["failed"],
        "canceled": counts["cancelled"],
        "expired": counts["expired"],
    }
    assert (found["created_at"], found["ended_at"]) == (made.job["created_at"], made.job["ended_at"])
    assert (found["cancel_initiated_at"] is not None) is (made.state == "cancelled")
    assert found["penstock"]["cost"] == made.job["cost"]
    assert found in read(door, f"{MESSAGE_BATCHES}?limit=1000")["data"]
    path = found["results_url"].removeprefix("http://localhost")
    results = {
        one["custom_id"]: one["result"]
        for one in map(json.loads, door.get(path, buffered=True).text.splitlines())
    }
    assert len(results) == len(made.ended)
    for record in made.ended:
        result = results[record["custom_id"] or f"request-{record['index']}"]
        if record["status"] == "succeeded":
            assert result == {"type": "succeeded", "message": record["response"]}
        elif record["status"] == "failed":
            assert result["error"]["error"]["message"] == record["error"]["message"]
        else:
            assert result == {"type": "canceled"}


def openai(door, made, name, word):
    found = read(door, f"{BATCHES}/{name}")
    own = made.maker == "openai"
    counts = made.job["counts"]
    assert found["id"] == f"batch_{made.id.replace('-', '')}"
    assert (found["status"], found["penstock"]["job_id"]) == (word, made.id)
    told = {"total": made.job["total"], "completed": counts["succeeded"], "failed": counts["failed"]}
    assert found["request_counts"] == told
    assert (found["metadata"] or {}).get("of") == (f"openai-{made.state}" if own else None)
    output, errors = lines_of(door, found["output_file_id"]), lines_of(door, found["error_file_id"])
    for record in made.ended:
        name = str(record["index"] if record["custom_id"] is None else record["custom_id"])
        item = (output if record["status"] == "succeeded" else errors).pop(name)
        if record["status"] == "succeeded":
            body = item["response"]["body"]
            text = body["content"][0]["text"] if own else body["choices"][0]["message"]["content"]
            assert (text, item["error"]) == (said(record), None)
        elif record["status"] == "cancelled":
            assert (item["response"], item["error"]["code"]) == (None, "batch_cancelled")
        else:
            assert (item["response"]["status_code"], item["error"]) == (400, None)
            assert item["response"]["body"]["error"]["message"] == record["error"]["message"]
    assert (output, errors) == ({}, {})
    assert found["id"] in [batch["id"] for batch in read(door, f"{BATCHES}?limit=100")["data"]]


def lines_of(door, file):
    if file is None:
        return {}
    found = map(json.loads, door.get(f"{FILES}/{file}/content", buffered=True).text.splitlines())
    return {item["custom_id"]: item for item in found}


READERS = {
    "native": native,
    "text": text,
    "documents": documents,
    "analyze": analyze,
    "processor": processor,
    "chats": chats,
    "anthropic": anthropic,
    "openai": openai,
}


PATHS = {
    "native": JOBS + "/{}",
    "text": "/batch_status/{}",
    "documents": DOCUMENTS + "/{}",
    "analyze": ANALYSES + "/{}/status",
    "processor": PROCESSOR + "/status/{}",
    "chats": CHATS + "/status?batchId={}",
    "anthropic": MESSAGE_BATCHES + "/{}",
    "openai": BATCHES + "/{}",
}


def said(record):
    """The text of a record's answer."""
    return record["response"]["content"][0]["text"] if record["response"] else None


def check_failure(told, record):
    """What is told of a record's failure: nothing of one that succeeded; a cancelled one failed, and why."""
    if record["status"] == "succeeded":
        assert told is None
    elif record["status"] == "cancelled":
        assert told.startswith("cancelled: ")
        assert len(told) > len("cancelled: ")
    else:
        assert told == f"{record['error']['type']}: {record['error']['message']}"


def seconds(since, until):
    if until is None:
        return None
    return (dt.datetime.fromisoformat(until) - dt.datetime.fromisoformat(since)).total_seconds()


def messages(stream):
    lines = [line for line in stream.splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def sorted_by_end(records):
    asked = [record for record in records if record["ended_at"]]
    return [record["index"] for record in sorted(asked, key=lambda record: record["ended_at"])]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("contract", MAKERS)
def test_a_job_made_through_one_contract_is_read_through_another(maker, jobs, contract, reader):
    for state, words in WORDS.items():
        made, word = jobs[contract, state], words[list(READERS).index(reader)]
        READERS[reader](maker, made, made.id, word)
        if made.label and reader != "documents":
            READERS[reader](maker, made, made.label, word)


def test_the_files_of_a_job_of_any_contract_have_its_answers(maker, jobs):
    for contract in MAKERS:
        made = jobs[contract, "partly"]
        answers = [said(record) or "" for record in made.records]
        for path in (f"{JOBS}/{made.id}/results?format=", f"{CHATS}/results?batchId={made.id}&format="):
            rows = list(
                csv.DictReader(io.StringIO(maker.get(f"{path}csv", buffered=True).data.decode("utf-8-sig")))
            )
            assert [row["answer"] for row in rows] == answers, path
            book = openpyxl.load_workbook(io.BytesIO(maker.get(f"{path}xlsx", buffered=True).data)).active
            names, *cells = book.iter_rows(values_only=True)
            assert [row[names.index("answer")] or "" for row in cells] == answers, path
        lines = maker.get(f"{JOBS}/{made.id}/results?format=jsonl", buffered=True).text.splitlines()
        assert [json.loads(line) for line in lines] == made.records


def test_a_subscription_to_a_job_of_any_contract_is_answered_at_once_with_its_state(service, maker, jobs):
    url = service.served.url.replace("http", "ws") + SOCKET
    with contextlib.closing(Client.connect(url, headers=maker.headers)) as client:
        for made in jobs.values():
            client.send(json.dumps({"action": "subscribe", "batch_id": made.id}))
            told = json.loads(client.receive(10))
            word = WORDS[made.state][list(READERS).index("processor")]
            assert (told["batch_id"], told["status"]) == (made.id, word)
            assert told["progress"] == made.job["progress"]
            took = seconds(made.job["created_at"], made.job["ended_at"])
            assert told.get("total_time_ms") == (None if took is None else round(took * 1000))


def test_a_label_is_no_id_of_a_document_job(maker, jobs):
    labels = [made.label for made in jobs.values() if made.label]
    assert {maker.get(f"{DOCUMENTS}/{label}").status_code for label in labels} == {422}


def test_every_answer_about_a_job_of_any_contract_names_it(maker, jobs):
    for contract in MAKERS:
        made = jobs[contract, "partly"]
        for path in PATHS.values():
            answer = maker.get(path.format(made.id))
            assert (answer.status_code, answer.headers["Penstock-Job"]) == (200, made.id), path


def test_a_colleague_reads_a_job_through_every_contract_but_chat_batches_and_an_admin_through_all(
    house, jobs
):
    other = house.colleague("bob")
    for maker in MAKERS:
        made = jobs[maker, "partly"]
        for contract, path in PATHS.items():
            assert house.get(path.format(made.id)).status_code == 200, path
            status = 404 if contract == "chats" else 200
            assert other.get(path.format(made.id)).status_code == status, path
        assert other.post(f"{CHATS}/cancel?batchId={made.id}").status_code == 404
    assert read(other, f"{CHATS}/list") == []


def test_a_job_of_any_contract_is_cancelled_once_through_every_one_that_can(maker):
    # Given jobs of each contract, some for each one that can cancel them
    ways = cycle(CANCELS)
    made = {
        (contract, through): submit(maker, contract, (HANGING, UNSENT), f"{contract}-cancelled-{through}")
        for contract in MAKERS
        for through in islice(ways, 2)
    }
    assert {through for _, through in made} == set(CANCELS)

    # When it is cancelled there
    for (_, through), job in made.items():
        answer = CANCELS[through](maker, job)
        assert (answer.status_code, answer.headers["Penstock-Job"]) == (200, job), through
        if through == "anthropic":
            assert answer.get_json()["cancel_initiated_at"] is not None
        elif through not in ("native", "openai"):
            assert answer.get_json()["status"] == "cancelled"

    # Then all of it is, and some contracts take it for granted when they are asked again
    again = {"native": 200, "documents": 404, "processor": 409, "chats": 409, "anthropic": 200, "openai": 200}
    for (_, through), job in made.items():
        wait_until(lambda job=job: has_ended(maker, job), what="it has ended")
        assert read(maker, f"{JOBS}/{job}")["counts"]["cancelled"] == 2
        assert CANCELS[through](maker, job).status_code == again[through]


def test_documents_that_were_only_stored_are_read_through_every_contract_but_that_of_messages(maker):
    # Given a job that no model answers
    tenant = read(maker, "/api/v1/me")["tenant_id"]
    one = {"content": "QUJD", "filename": "a.bin"}
    job = maker.post(DOCUMENTS, json={"tenant_id": tenant, "documents": [one, one]}).headers["Penstock-Job"]
    wait_until(lambda: has_ended(maker, job), what="they are stored")

    # Then it has succeeded everywhere, has no model, and says of each where it is
    assert maker.get(PATHS["anthropic"].format(job)).status_code == 404
    assert job.replace("-", "") not in maker.get(f"{MESSAGE_BATCHES}?limit=1000").text
    found = {name: read(maker, path.format(job)) for name, path in PATHS.items() if name != "anthropic"}
    assert [one["status"] for one in found.values()] == [
        word for word in WORDS["answered"] if word != "ended"
    ]
    assert (found["native"]["model"], found["chats"]["aiProvider"]) == (None, None)
    assert (found["native"]["cost"], found["analyze"]["estimated_cost"]) == ("0.00", 0)
    stored = [record["response"] for record in read(maker, f"{JOBS}/{job}/records")["data"]]
    for told in (
        [item["response"]["result"] for item in found["text"]["results"]],
        [item["response"]["summary"] for item in found["analyze"]["results"]],
        [item["output"] for item in read(maker, f"{PROCESSOR}/results/{job}")["results"]],
        [item["answer"] for item in read(maker, f"{CHATS}/results?batchId={job}")],
    ):
        assert [json.loads(text) for text in told] == stored
