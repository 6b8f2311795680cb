"""The same texts, submitted through each of the seven contracts."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from werkzeug.test import TestResponse

from tests.support.front_door import JOBS, Door

ANALYSES = "/api/v1/batch"
DOCUMENTS = "/api/v1/batch/jobs"
PROCESSOR = "/api/batch-processor"
CHATS = "/api/batch"
MESSAGE_BATCHES = "/v1/messages/batches"
BATCHES, FILES = "/v1/batches", "/v1/files"

Make = Callable[[Door, Sequence[str], str], TestResponse]


def native(door: Door, texts: Sequence[str], name: str) -> TestResponse:
    records = [{"custom_id": f"own-{number}", "prompt": text} for number, text in enumerate(texts)]
    return door.post(JOBS, json={"name": name, "priority": 7, "records": records})


def text(door: Door, texts: Sequence[str], name: str) -> TestResponse:
    requests = [{"text": one, "operation": "summarize", "user_metadata": {"of": name}} for one in texts]
    body = {"batch_id": name, "requests": requests}
    return door.post("/batch_process", json=body, headers={"Prefer": "respond-async"})


def documents(door: Door, texts: Sequence[str], name: str) -> TestResponse:
    files = [
        {"content": base64.b64encode(one.encode()).decode(), "filename": f"{number}.txt"}
        for number, one in enumerate(texts)
    ]
    tenant = door.get("/api/v1/me").get_json()["tenant_id"]
    body = {"tenant_id": tenant, "documents": files, "prompt": "Read it.", "collection": name}
    return door.post(DOCUMENTS, json=body)


def analyze(door: Door, texts: Sequence[str], name: str) -> TestResponse:
    return door.post(f"{ANALYSES}/analyze", json={"records": [{"notes": [one]} for one in texts]})


def processor(door: Door, texts: Sequence[str], name: str) -> TestResponse:
    body = {
        "batch_id": name,
        "priority": "high",
        "timeout_ms": 300_000,
        "data": [{"prompt": one} for one in texts],
    }
    return door.post(f"{PROCESSOR}/submit", json=body)


def chats(door: Door, texts: Sequence[str], name: str) -> TestResponse:
    rows = "".join(f'"{one}",c{number},https://example.com\n' for number, one in enumerate(texts))
    sheet = io.BytesIO(f"REDACTEDQUESTION,chatId,URL\n{rows}".encode())
    form = {"file": (sheet, "q.csv"), "batchName": name, "lang": "en"}
    return door.post(f"{CHATS}/create", data=form, content_type="multipart/form-data")


def anthropic(door: Door, texts: Sequence[str], name: str) -> TestResponse:
    params = {"model": "claude-haiku-4-5", "max_tokens": 100}
    requests = [
        {
            "custom_id": f"{name}-{number}",
            "params": {**params, "messages": [{"role": "user", "content": one}]},
        }
        for number, one in enumerate(texts)
    ]
    return door.post(MESSAGE_BATCHES, json={"requests": requests})


def openai(door: Door, texts: Sequence[str], name: str) -> TestResponse:
    def asked(text: str) -> dict[str, Any]:
        return {
            "model": "claude-haiku-4-5",
            "max_tokens": 99,
            "messages": [{"role": "user", "content": text}],
        }

    lines = [{"custom_id": f"own-{number}", "body": asked(text)} for number, text in enumerate(texts)]
    body = {"endpoint": "/v1/messages", "completion_window": "24h", "requests": lines}
    return door.post(BATCHES, json={**body, "metadata": {"of": name}})


MAKERS: Mapping[str, Make] = {
    "native": native,
    "text": text,
    "documents": documents,
    "analyze": analyze,
    "processor": processor,
    "chats": chats,
    "anthropic": anthropic,
    "openai": openai,
}
LABELLED = ("text", "processor")  # these let the caller name a batch

# How a job is cancelled, where a contract can.
CANCELS: Mapping[str, Callable[[Door, str], TestResponse]] = {
    "native": lambda door, job: door.post(f"{JOBS}/{job}/cancel"),
    "documents": lambda door, job: door.call("DELETE", f"{DOCUMENTS}/{job}"),
    "processor": lambda door, job: door.call("DELETE", f"{PROCESSOR}/cancel/{job}"),
    "chats": lambda door, job: door.post(f"{CHATS}/cancel?batchId={job}"),
    "anthropic": lambda door, job: door.post(f"{MESSAGE_BATCHES}/{job}/cancel"),
    "openai": lambda door, job: door.post(f"{BATCHES}/{job}/cancel"),
}


def submit(door: Door, contract: str, texts: Sequence[str], name: str) -> str:
    """A job of one record for each text; returns its id."""
    answer = MAKERS[contract](door, texts, name)
    assert answer.status_code in (200, 202), f"{contract}: {answer.text}"
    return answer.headers["Penstock-Job"]


def read(door: Door, path: str) -> Any:
    """The content of a response."""
    answer = door.get(path, buffered=True)  # read and closed: its seat is free again
    assert answer.status_code == 200, f"{path}: {answer.text}"
    return answer.get_json()
