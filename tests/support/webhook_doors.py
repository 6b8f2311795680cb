"""Every call that creates a batch, each with an address that is told of its end."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from werkzeug.test import TestResponse

from tests.support.front_door import Door
from tests.support.furnished_tenant import NOTES, REQUEST, SHEET, TEXTS

_MESSAGE = {"model": "simulated", "max_tokens": 99, "messages": [{"role": "user", "content": "Why?"}]}
_BATCH = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}


@dataclass(frozen=True)
class Create:
    """`send` creates a batch; a refusal has `status`, and `named` finds in its body what was wrong where."""

    name: str
    send: Callable[[Door, str], TestResponse]
    status: int
    named: Callable[[Any], str]


def _native(door: Door, url: str) -> TestResponse:
    return door.post_records(1, webhook_url=url)


def _upload(door: Door, url: str) -> TestResponse:
    return door.upload("r.jsonl", b'{"prompt": "x"}\n', webhook_url=url)


def _text(door: Door, url: str) -> TestResponse:
    asked = {**TEXTS, "webhook_url": url}
    return door.post("/batch_process", headers={"Prefer": "respond-async"}, json=asked)


def _analyze(door: Door, url: str) -> TestResponse:
    return door.post("/api/v1/batch/analyze", json={**NOTES, "webhook_url": url})


def _documents(door: Door, url: str) -> TestResponse:
    document = {"content": base64.b64encode(b"some text").decode(), "filename": "a.txt"}
    tenant = door.get("/api/v1/me").get_json()["tenant_id"]
    asked = {"tenant_id": tenant, "documents": [document], "webhook_url": url}
    return door.post("/api/v1/batch/jobs", json=asked)


def _chats(door: Door, url: str) -> TestResponse:
    form = {"file": (BytesIO(SHEET), "q.csv"), "webhook_url": url}
    return door.post("/api/batch/create", data=form)


def _processor(door: Door, url: str) -> TestResponse:
    asked = {"data": [{"prompt": "x"}], "metadata": {"model_id": "simulated"}, "webhook_url": url}
    return door.post("/api/batch-processor/submit", json=asked)


def _anthropic(door: Door, url: str) -> TestResponse:
    asked = {"requests": [{"custom_id": "a", "params": _MESSAGE}], "webhook_url": url}
    return door.post("/v1/messages/batches", json=asked)


def _anthropic_before(door: Door, url: str) -> TestResponse:
    body = json.dumps({"webhook_url": url, "requests": [{"custom_id": "a", "params": _MESSAGE}]})
    return door.post("/v1/messages/batches", data=body, content_type="application/json")


def _openai(door: Door, url: str) -> TestResponse:
    asked = {**_BATCH, "requests": [{"custom_id": "a", "body": _MESSAGE}], "webhook_url": url}
    return door.post("/v1/batches", json=asked)


def _openai_file(door: Door, url: str) -> TestResponse:
    form = {"purpose": "batch", "file": (BytesIO(REQUEST), "r.jsonl")}
    file = door.post("/v1/files", data=form).get_json()["id"]
    return door.post("/v1/batches", json={**_BATCH, "input_file_id": file, "webhook_url": url})


def _problem(body: Any) -> str:
    [problem] = body["error"]["details"]["problems"]
    return f"{problem['where']}: {problem['message']}"


def _detail(body: Any) -> str:
    [fault] = body["detail"]
    return f"{fault['loc'][-1]}: {fault['msg']}"


def _of_anthropic(body: Any) -> str:
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
    return str(body["error"]["message"])


def _of_openai(body: Any) -> str:
    error = body["error"]
    assert error["type"] == "invalid_request_error"
    return f"{error['param']}: {error['message']}"


CREATES = (
    Create("native", _native, 422, _problem),
    Create("upload", _upload, 422, _problem),
    Create("text", _text, 422, _detail),
    Create("analyze", _analyze, 422, _detail),
    Create("documents", _documents, 422, _detail),
    Create("chats", _chats, 400, lambda body: str(body["error"])),
    Create("processor", _processor, 422, lambda body: f"{body['error']} {body['message']}"),
    Create("anthropic", _anthropic, 400, _of_anthropic),
    Create("anthropic-before", _anthropic_before, 400, _of_anthropic),
    Create("openai", _openai, 400, _of_openai),
    Create("openai-file", _openai_file, 400, _of_openai),
)
