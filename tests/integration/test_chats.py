"""Chat batches at the front door: the sheet, who may see what, words and files. No worker runs."""

import csv
import io
import json
import uuid

import openpyxl
import pytest
from sqlalchemy import select

from app.core.pipeline import lifecycle
from app.core.requests import build, job_context
from app.web.answers import AT_ONCE
from config import settings
from models import Job, Record, RecordInput
from models.job import JobStatus
from models.session import in_transaction, reading
from tests.conftest import penstock_of_its_own
from tests.support.front_door import JOBS, Door, Worker

BATCH = "/api/batch"
SHEET = "REDACTEDQUESTION,chatId,URL,note\nHow?,a,https://x.org/1,n1\nAnd then?,a,,n2\nWhen?,,,n3\n"

MISSING = 'the column "REDACTEDQUESTION" (or "question") is missing; the sheet has "chatId", "text"'
TWO_FAULTS = 'row 2: "chatId" must have 1 to 256 characters, found 257; row 3: the row has 3 cells'


@pytest.fixture(scope="module", params=["postgresql", pytest.param("sqlite", marks=pytest.mark.long)])
def house(request, tmp_path_factory):
    """One Penstock for all of these tests; each is a tenant of its own."""
    folder = tmp_path_factory.mktemp("chats")
    with penstock_of_its_own(request.param, request, folder, DEFAULT_MODEL="simulated"):
        yield Door("house")


@pytest.fixture
def door(house, request):
    return house.other(request.node.name, scopes=("jobs:read", "jobs:write"))


@pytest.fixture
def worker(house):
    return Worker()


def create(door, content=SHEET, file="questions.csv", **fields):
    data = content if isinstance(content, bytes) else content.encode()
    form = {"file": (io.BytesIO(data), file), **fields}
    return door.post(f"{BATCH}/create", data=form, content_type="multipart/form-data")


def test_a_sheet_that_is_sent_again_under_its_name_is_the_same_batch(door):
    def sent(content, **headers):
        form = {"file": (io.BytesIO(content.encode()), "questions.csv")}
        return door.post(
            f"{BATCH}/create", data=form, content_type="multipart/form-data", headers=headers
        ).get_json()

    first = sent(SHEET, **{"Idempotency-Key": "sheet"})
    assert "batchId" in first
    assert sent(SHEET, **{"Idempotency-Key": "sheet"}) == first
    assert "error" in sent(SHEET + SHEET, **{"Idempotency-Key": "sheet"})
    assert sent(SHEET) != first


def created(door, *args, **fields):
    answer = create(door, *args, **fields)
    assert answer.status_code == 202, answer.text
    assert list(answer.get_json()) == ["batchId"]
    return answer.get_json()["batchId"]


def refusal(answer, status=400):
    assert answer.status_code == status, answer.text
    assert list(answer.get_json()) == ["error"]
    return answer.get_json()["error"]


def status(door, batch):
    return door.get(f"{BATCH}/status?batchId={batch}").get_json()


def results(door, batch):
    return door.get(f"{BATCH}/results?batchId={batch}").get_json()


def native(door, batch):
    return door.get(f"{JOBS}/{batch}").get_json()


def workbook(*rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def saying(text, searches=0):
    usage = {"server_tool_use": {"web_search_requests": searches} if searches else None}
    return json.dumps({"content": [{"type": "text", "text": text}], "usage": usage}).encode()


def test_a_sheet_becomes_a_batch_that_tells_all_that_was_asked_for(door):
    batch = created(
        door, aiProvider="simulated", searchProvider="none", lang="fr", batchName="March", applyOverrides="on"
    )

    found = status(door, batch)
    assert found["createdAt"] <= found["updatedAt"]
    assert {name: value for name, value in found.items() if not name.endswith("At")} == {
        "batchId": batch, "status": found["status"], "totalItems": 3, "processedItems": 0, "failedItems": 0,
        "skippedRows": [], "name": "March", "aiProvider": "simulated", "searchProvider": "none",
        "pageLanguage": "fr",
    }  # fmt: skip
    assert found["status"] in ("queued", "processing")
    assert door.get(f"{BATCH}/status?batchId={batch}").headers["Penstock-Job"] == batch
    assert native(door, batch)["metadata"]["applyOverrides"] is True


def test_what_is_left_out_is_the_default(door):
    found = status(door, created(door))

    assert (found["name"], found["pageLanguage"], found["searchProvider"]) == ("questions.csv", None, "none")
    assert native(door, found["batchId"])["metadata"]["applyOverrides"] is False


@pytest.mark.parametrize(
    ("encoding", "separator"), [("utf-8-sig", ";"), ("utf-16", "\t"), ("cp1252", "|"), ("latin-1", ",")]
)
def test_any_usual_encoding_and_separator_and_capitals_of_columns_do(door, worker, encoding, separator):
    lines = ["Question,CHATID,url", "Où ça?,é,https://x.org", "Là?,é,"]
    batch = created(door, "\r\n".join(lines).replace(",", separator).encode(encoding))
    worker.end({"id": batch}, [0], saying("Ici."))

    assert results(door, batch)[0] | {"interactionId": "", "cost": 0} == {
        "row": 2, "chatId": "é", "REDACTEDQUESTION": "Où ça?", "URL": "https://x.org", "status": "processed",
        "answer": "Ici.", "error": None, "interactionId": "", "cost": 0,
        "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 0, "cache_write_tokens": 0,
                  "web_search_requests": 0},
    }  # fmt: skip


def test_an_earlier_turn_adds_its_question_to_the_next_and_not_the_system_prompt_again(door):
    batch = created(door, lang="de")

    with reading() as session:
        job = session.scalars(select(Job).where(Job.uid == uuid.UUID(batch))).one()
        found = session.execute(
            select(Record.request_bytes, RecordInput.body)
            .join(RecordInput, (RecordInput.job_id == Record.job_id) & (RecordInput.idx == Record.idx))
            .where(Record.job_id == job.id)
            .order_by(Record.idx)
        ).all()
    adds = [row.request_bytes - job_context.of(job.id).shared_bytes_of(row.body) for row in found]
    assert adds == [len("How?"), len("And then?"), len("When?")]


def test_rows_without_a_question_are_left_out_and_named(door):
    # Given empty questions, wholly empty rows, and blank lines at the end
    sheet = "chatId,REDACTEDQUESTION\na,First\nb,\n,\n \na,  \na,Last\n\n\n"

    batch = created(door, sheet)

    found = status(door, batch)
    assert (found["totalItems"], found["skippedRows"]) == (2, [3, 4, 5, 6])
    page = door.get(f"{JOBS}/{batch}/records").get_json()["data"]
    assert [record["custom_id"] for record in page] == ["2", "7"]


def test_numbers_in_a_workbook_are_names_and_questions(door, worker):
    batch = created(
        door, workbook(["REDACTEDQUESTION", "chatId"], [42, 7], ["Next?", 7], ["=1+1", None]), "q.xlsx"
    )
    worker.end({"id": batch}, [0], saying("Yes."))

    [first] = results(door, batch)
    assert (first["REDACTEDQUESTION"], first["chatId"]) == ("42", "7")
    assert status(door, batch)["name"] == "q.xlsx"


@pytest.mark.parametrize(
    ("sheet", "file", "said"),
    [
        ("chatId,text\na,b\n", "q.csv", MISSING),
        ("", "q.csv", "the file is empty"),
        ("question\n\n", "q.csv", 'no row has a question in the column "question"'),
        ("question,chatId\n,a\n , \n", "q.csv", 'no row has a question in the column "question"'),
        ('question\n"open\n', "q.csv", "row 2: not CSV: a quotation mark is not closed"),
        ("PK\3\4 nothing of the kind", "q.xlsx", "the file cannot be read as XLSX"),
        ("question\nHow?", "q.jsonl", "file: give a table, as one of csv, tsv, xlsx, xls, "),
        ("question\nHow?", "q.pdf", "file: 'q.pdf' is not in a supported format"),
        (b"question\n\xff\xfe\x81", "q.csv", "line 2: byte 0xff is not UTF-8"),
        (f"question,chatId\nA?,{'x' * 257}\nB?,1,2\n", "q.csv", TWO_FAULTS),
    ],
)  # fmt: skip
def test_a_sheet_that_cannot_be_read_is_refused_whole(door, sheet, file, said):
    assert refusal(create(door, sheet, file)).startswith(said)
    assert door.get(f"{BATCH}/list").get_json() == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"aiProvider": "openai"}, "aiProvider: 'openai' is unknown; available: simulated"),
        ({"aiProvider": "anthropic"}, "aiProvider: 'anthropic' needs a key: set ANTHROPIC_API_KEY where"),
        ({"searchProvider": "google"}, "searchProvider: 'google' is not available with 'simulated'; "),
        ({"searchProvider": "anthropic"}, "searchProvider: 'anthropic' is not available with 'simulated'"),
        ({"applyOverrides": "maybe"}, "applyOverrides: Not a valid boolean."),
        ({"lang": "x" * 51}, "lang: Longer than maximum length 50."),
        ({"lang": "en\nIgnore"}, "lang: use printable characters only"),
        ({"colour": "red"}, "colour: Unknown field."),
        ({"colour": "red", "lang": "x" * 51}, "lang: Longer than maximum length 50.; colour: Unknown field."),
        ({"webhook_url": "http://x.org"}, "webhook_url: http:// is for networks"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_used_is_a_400_that_names_it(door, fields, said):
    assert refusal(create(door, **fields)).startswith(said)
    assert door.get(f"{BATCH}/list").get_json() == []


def test_what_is_no_form_with_a_file_is_refused(door):
    assert "multipart/form-data" in refusal(door.post(f"{BATCH}/create", json={}), 415)
    form = {"batchName": "x"}
    assert "file: missing" in refusal(
        door.post(f"{BATCH}/create", data=form, content_type="multipart/form-data")
    )
    for path in ("status", "results"):
        assert "batchId" in refusal(door.get(f"{BATCH}/{path}"))
        assert "you have no batch 'x'" in refusal(door.get(f"{BATCH}/{path}?batchId=x"), 404)
    assert "batchId" in refusal(door.post(f"{BATCH}/cancel"))
    assert refusal(door.get(f"{BATCH}/cancel"), 405)
    assert refusal(door.get(f"{BATCH}/nothing"), 404)
    assert refusal(door.client.get(f"{BATCH}/list"), 401)


def test_a_batch_is_seen_by_the_user_who_made_it_and_by_an_admin(house, door):
    # Given batches of two users of one tenant
    tenant = door.get("/api/v1/me").get_json()["tenant"]
    first, second = created(door), created(door)
    admin = house.other(tenant)
    key = admin.post("/api/v1/keys", json={"name": "other", "user_id": "bob"}).get_json()["key"]
    bob = {"X-API-Key": key}

    # Then each sees the own ones, the newest first, and an admin anybody's
    assert [one["batchId"] for one in door.get(f"{BATCH}/list").get_json()] == [second, first]
    assert door.client.get(f"{BATCH}/list", headers=bob).get_json() == []
    for path in ("status", "results"):
        refused = door.client.get(f"{BATCH}/{path}?batchId={first}", headers=bob)
        assert refusal(refused, 404)
        assert "Penstock-Job" not in refused.headers
        assert admin.get(f"{BATCH}/{path}?batchId={first}").status_code == 200
        assert house.get(f"{BATCH}/{path}?batchId={first}").status_code == 404
    assert refusal(door.client.post(f"{BATCH}/cancel?batchId={first}", headers=bob), 404)
    assert status(door, first)["status"] in ("queued", "processing")


@pytest.mark.parametrize("where", ["query_string", "data", "json"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_batch_is_cancelled_once(door, method, where):
    batch = created(door)

    answer = door.call(method, f"{BATCH}/cancel", **{where: {"batchId": batch}})

    assert (answer.status_code, answer.get_json()) == (200, {"batchId": batch, "status": "cancelled"})
    found = status(door, batch)
    assert (found["status"], found["failedItems"]) == ("cancelled", 3)
    assert [item["error"] for item in results(door, batch)] == [
        "cancelled: its job was cancelled before it was sent"
    ] * 3
    assert "it has ended" in refusal(door.call(method, f"{BATCH}/cancel", **{where: {"batchId": batch}}), 409)


def test_results_come_back_beside_the_sheets_own_columns(door, worker):
    # Given a batch of which a turn was answered with what a spreadsheet would take for a formula
    batch = created(door, SHEET, "q.csv", batchName="März")
    worker.end({"id": batch}, [0], saying("=1+1", searches=2))
    worker.end({"id": batch}, [2], error=("invalid_request", "no"))

    # Then there is what has ended, as JSON and as the sheet
    first, third = results(door, batch)
    assert (first["row"], first["answer"], first["usage"]["web_search_requests"]) == (2, "=1+1", 2)
    assert (third["row"], third["status"], third["error"]) == (4, "failed", "invalid_request: no")
    assert (third["chatId"], third["URL"], third["answer"], third["usage"]) == (None, None, None, None)
    answer = door.get(f"{BATCH}/results?batchId={batch}&format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert list(rows[0])[:6] == ["REDACTEDQUESTION", "chatId", "URL", "note", "answer", "status"]
    assert [(row["note"], row["answer"], row["status"]) for row in rows] == [
        ("n1", "'=1+1", "processed"),
        ("n3", "", "failed"),
    ]
    book = openpyxl.load_workbook(
        io.BytesIO(door.get(f"{BATCH}/results?batchId={batch}&format=xlsx").data)
    ).active
    assert (book["E2"].value, book["E2"].data_type) == ("=1+1", "s")
    assert "M%C3%A4rz.results.csv" in answer.headers["Content-Disposition"]
    assert "format" in refusal(door.get(f"{BATCH}/results?batchId={batch}&format=pdf"))


def test_words_follow_the_life_of_a_batch(door, worker):
    # Given batches of which all, some or none of the rows were answered
    words = {}
    for name, good in [("all", 3), ("some", 2), ("none", 0)]:
        batch = created(door, "question\nOne?\nTwo?\nThree?\n", batchName=name)
        assert status(door, batch)["status"] in ("queued", "processing")
        worker.end({"id": batch}, range(good), saying("Yes."))
        worker.end({"id": batch}, range(good, 3), error=("invalid_request", "no"))
        in_transaction(
            lambda session, batch=batch: lifecycle.complete(
                session, lifecycle.find(session, door.tenant_id, batch)
            )
        )
        words[name] = status(door, batch)["status"]

    assert words == {"all": "processed", "some": "completed_with_errors", "none": "completed_with_errors"}

    # And a paused one is still being processed, one whose time is over has errors
    batch = created(door)
    assert door.post(f"{JOBS}/{batch}/pause").status_code == 200
    assert status(door, batch)["status"] == "processing"
    in_transaction(
        lambda session: lifecycle.close(
            session, lifecycle.find(session, door.tenant_id, batch), JobStatus.EXPIRED, "Late."
        )
    )
    assert status(door, batch)["status"] == "completed_with_errors"
    assert results(door, batch)[0]["error"].startswith("expired: ")


def test_a_turn_that_was_answered_with_nothing_is_not_told_to_the_next(door):
    batch = created(door)
    with reading() as session:
        job = session.scalars(select(Job).where(Job.uid == uuid.UUID(batch))).one()
        bodies = session.scalars(
            select(RecordInput.body).where(RecordInput.job_id == job.id).order_by(RecordInput.idx)
        ).all()
    history = [(bodies[0], json.dumps({"content": []}).encode()), (bodies[1], saying("Yes."))]

    built = build.build(job_context.of(job.id), bodies[2], None, history)

    assert [message["content"] for message in built["messages"]] == [
        "And then?",
        [{"type": "text", "text": "Yes."}],
        "When?",
    ]


def test_a_long_list_and_long_results_come_in_pieces(door, worker, monkeypatch):
    # Given more results than are written at once, and more batches than are read at once
    monkeypatch.setattr("app.dialects.chats.routes.PAGE", 2)
    many = AT_ONCE + 1
    batches = [created(door, "question\n" + "And now?\n" * many), *(created(door) for _ in range(4))]
    worker.end({"id": batches[0]}, range(many), saying("Yes."))

    assert [one["batchId"] for one in door.get(f"{BATCH}/list").get_json()] == batches[::-1]
    assert [one["row"] for one in results(door, batches[0])] == list(range(2, many + 2))


def test_a_job_of_another_contract_is_read_as_a_batch(door, worker):
    job = door.submit(2, name="native")
    worker.end(job, [1], saying("Said."))

    found = status(door, job["id"])
    [item] = results(door, job["id"])

    assert (found["totalItems"], found["processedItems"], found["name"]) == (2, 1, "native")
    assert (found["searchProvider"], found["pageLanguage"], found["skippedRows"]) == (None, None, None)
    assert (item["row"], item["REDACTEDQUESTION"], item["answer"]) == (None, None, "Said.")
    assert [one["batchId"] for one in door.get(f"{BATCH}/list").get_json()] == [job["id"]]


def test_the_anthropic_provider_and_its_search_are_taken_where_it_has_a_key(door, monkeypatch):
    # Given a key, and another model for chats
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    monkeypatch.setenv("CHAT_MODEL_ANTHROPIC", "claude-sonnet-4-6")
    settings.current.cache_clear()
    try:
        batch = created(door, aiProvider="Anthropic", searchProvider="ANTHROPIC")
        said = refusal(create(door, searchProvider="bing", aiProvider="anthropic"))
    finally:
        monkeypatch.undo()
        settings.current.cache_clear()

    found = status(door, batch)
    assert (found["aiProvider"], found["searchProvider"]) == ("anthropic", "anthropic")
    assert native(door, batch)["model"] == "claude-sonnet-4-6"
    assert said.endswith("available: none, anthropic")

    # And as nobody knows how often it searches, no cap can hold
    capped = door.call("PATCH", f"{JOBS}/{batch}", json={"max_cost": "1.00"})
    assert capped.status_code == 422
    assert "web_search" in capped.get_json()["error"]["message"]


def test_an_own_text_is_put_looked_at_and_taken_away(door):
    path = "/api/v1/prompt-overrides/chat"
    assert door.get(path).status_code == 404
    assert door.call("DELETE", path).status_code == 404

    # Given a text of one's own, put twice
    door.call("PUT", path, json={"system": "Old."})
    put = door.call("PUT", path, json={"system": "Be kind. {{ lang }}"})

    # Then it stands beside the shipped ones until it is taken away
    assert put.status_code == 200
    assert door.get(path).get_json() == put.get_json()
    assert (put.get_json()["system"], put.get_json()["prompt"]) == ("Be kind. {{ lang }}", None)
    assert put.get_json()["shipped"]["prompt"] == "{{ question }}"
    assert door.other("another").get(path).status_code == 404
    assert door.call("DELETE", path).status_code == 204
    assert door.get(path).status_code == 404


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ({"system": "{% for x in y %}{% endfor %}"}, "a loop is not allowed"),
        ({"prompt": "{{ question.__class__() }}"}, "a call is not allowed"),
        ({"prompt": "{{ question"}, "the template, line 1"),
        ({}, "give a `prompt`, a `system`, or both"),
        ({"prompt": None}, "give a `prompt`, a `system`, or both"),
        ({"prompt": ""}, "Shorter than minimum length 1"),
        ({"text": "x"}, "Unknown field"),
    ],
)
def test_an_own_text_is_checked_when_it_is_put(door, text, said):
    refused = door.call("PUT", "/api/v1/prompt-overrides/chat", json=text)

    assert refused.status_code == 422
    assert said in refused.get_json()["error"]["message"]
    assert door.call("PUT", "/api/v1/prompt-overrides/nothing", json={"prompt": "x"}).status_code == 404


def test_an_own_text_that_the_sheet_does_not_fit_is_refused_with_the_batch(door):
    door.call("PUT", "/api/v1/prompt-overrides/chat", json={"prompt": "{{ question }} {{ department }}"})

    said = refusal(create(door, applyOverrides="true"))

    assert said.startswith('row 2: the template uses "department"; there is')
    assert created(door, applyOverrides="false")
    assert created(door, "question,department\nHow?,sales\n", applyOverrides="1")
