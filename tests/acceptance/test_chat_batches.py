"""The fifth specification (chat batches from a spreadsheet), on real workers."""

import datetime as dt
import io
import json
from collections import defaultdict

import openpyxl
import pytest

from app.core.money.pricing import price_at
from app.providers.client import Usage
from tests.support.servers import wait_until
from tests.support.shared_stack import running_service

CHATS, TURNS = 40, 5
BATCH = "/api/batch"


@pytest.fixture(scope="module")
def module_service(request, upstream_process, tmp_path_factory):
    with running_service(request, upstream_process, tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture
def service(module_service, upstream):
    return module_service


def workbook(rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    file.seek(0)
    return file


def create(door, rows, **fields):
    form = {"file": (workbook(rows), "questions.xlsx"), **fields}
    answer = door.post(f"{BATCH}/create", data=form, content_type="multipart/form-data")
    assert answer.status_code == 202, answer.text
    return answer.get_json()["batchId"]


def status(door, batch):
    return door.get(f"{BATCH}/status?batchId={batch}").get_json()


def results(door, batch):
    return door.get(f"{BATCH}/results?batchId={batch}").get_json()


def ended(door, batch):
    open_words = ("queued", "processing")
    wait_until(lambda: status(door, batch)["status"] not in open_words, what="the batch has ended")
    return status(door, batch)


def said(message):
    content = message["content"]
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


def test_forty_conversations_of_five_turns_are_asked_in_order_each_with_its_successful_turns(service):
    # Given a sheet in which they are mixed with each other and with questions that stand alone
    # And a provider that refuses the third turn of every tenth conversation
    rows = [["REDACTEDQUESTION", "chatId", "URL"]]
    for turn in range(TURNS):
        rows += [
            [f"chat-{chat:02} turn-{turn}", f"c{chat}", f"https://x.org/{turn}"] for chat in range(CHATS)
        ]
        rows.append([f"alone-{turn}", None, None])
    faults = [
        {"kind": "status", "status": 400, "matching": f"chat-{chat:02} turn-2"}
        for chat in range(0, CHATS, 10)
    ]
    service.upstream.configure(keep_requests=True, faults=faults)

    # When it is asked
    batch = create(service.door, rows, aiProvider="anthropic", lang="fr")
    found = ended(service.door, batch)

    # Then a refused turn is counted and its conversation went on
    assert (found["status"], found["failedItems"]) == ("completed_with_errors", 4)
    assert (found["totalItems"], found["processedItems"]) == (205, 201)
    answers = results(service.door, batch)
    assert [one["row"] for one in answers] == list(range(2, 207))
    assert [one["REDACTEDQUESTION"] for one in answers] == [row[0] for row in rows[1:]]
    assert [one["status"] for one in answers].count("failed") == 4

    # And every turn arrived after the one before it, with the successful ones in front of it
    asked = defaultdict(list)
    for entry in service.upstream.books():
        asked[said(entry["request"]["messages"][-1]).split()[0]].append(entry["request"])
    by_question = {one["REDACTEDQUESTION"]: one for one in answers}
    for chat in range(CHATS):
        history = []
        for turn, request in enumerate(asked[f"chat-{chat:02}"]):
            question = f"chat-{chat:02} turn-{turn}"
            history.append(question)
            assert [said(message) for message in request["messages"]] == history
            assert "which is: fr." in request["system"]
            assert request["system"].endswith(f"on this page: https://x.org/{turn}")
            history = (
                history[:-1] if turn == 2 and chat % 10 == 0 else [*history, by_question[question]["answer"]]
            )
        assert turn == TURNS - 1
    for turn in range(TURNS):
        [request] = asked[f"alone-{turn}"]
        assert [said(message) for message in request["messages"]] == [f"alone-{turn}"]
        assert "on this page" not in request["system"]
    assert 2 <= service.upstream.summary()["most_in_flight"] <= 5


def test_a_batch_can_search_with_the_users_own_texts_and_its_searches_are_counted_and_priced(service):
    # Given own texts, and a provider that searches twice for an answer
    door = service.door
    texts = {"system": "Speak {{ lang }} like a pirate.", "prompt": "Matey asks: {{ question }} ({{ ship }})"}
    assert door.call("PUT", "/api/v1/prompt-overrides/chat", json=texts).status_code == 200
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    content = [search, found, {"type": "text", "text": "Arr."}]
    usage = {"input_tokens": 100, "output_tokens": 10, "server_tool_use": {"web_search_requests": 2}}
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
        "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    service.upstream.configure(keep_requests=True, faults=[{"kind": "body", "body": json.dumps(message)}])

    # When two turns are asked
    rows = [["question", "chatId", "ship"], ["Where?", "c", "Pearl"], ["And now?", "c", "Dutchman"]]
    batch = create(door, rows, lang="en", searchProvider="anthropic", applyOverrides="true")
    assert ended(door, batch)["status"] == "processed"

    # Then both could search, the second knew what the first had found, and both were asked in own words
    first, second = (entry["request"] for entry in service.upstream.books())
    for request in (first, second):
        assert [tool["name"] for tool in request["tools"]] == ["web_search"]
        assert request["system"] == "Speak en like a pirate."
    assert [each["content"] for each in second["messages"]] == [
        "Matey asks: Where? (Pearl)",
        content,
        "Matey asks: And now? (Dutchman)",
    ]

    # And the searches are in the usage and in the cost
    price = price_at("claude-haiku-4-5", dt.datetime.now(dt.UTC))
    cost = price.cost(Usage(100, 10, server_tool_uses={"web_search_requests": 2}))
    for one in results(door, batch):
        assert (one["answer"], one["usage"]["web_search_requests"]) == ("Arr.", 2)
        assert one["cost"] == pytest.approx(cost / 10**12, abs=1e-12)
    [job] = [
        each for each in door.get("/api/v1/usage?group_by=job").get_json()["data"] if each["job"] == batch
    ]
    assert job["server_tool_uses"] == {"web_search_requests": 4}


def test_answers_are_there_while_it_runs_and_a_cancelled_batch_keeps_them(service):
    # Given a slow provider and long conversations
    door = service.door
    service.upstream.configure(latency_ms=150)
    rows = [
        ["question", "chatId"],
        *([f"{turn} of {chat}", str(chat)] for turn in range(30) for chat in range(4)),
    ]
    batch = create(door, rows)

    # When some answers are there, and the rest is cancelled
    wait_until(lambda: len(results(door, batch)) >= 8, what="some answers")
    assert status(door, batch)["status"] == "processing"
    before = results(door, batch)
    answer = door.call("DELETE", f"{BATCH}/cancel?batchId={batch}")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "cancelled")

    # Then it ends so, every row is told, and what was answered stays
    found = ended(door, batch)
    after = results(door, batch)
    assert found["status"] == "cancelled"
    assert found["processedItems"] + found["failedItems"] == len(after) == 120
    assert [one for one in after if one in before] == before
    assert {one["error"].partition(":")[0] for one in after if one["status"] == "failed"} == {"cancelled"}
