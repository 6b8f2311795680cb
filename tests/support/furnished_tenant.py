"""A tenant that has a job of every contract and in every state, keys, texts of its own and usage."""

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from sqlalchemy import Table, select

from app.core.accounts import api_keys
from models import Job
from models.base import Base
from models.session import in_transaction, reading
from tasks import advance
from tests.support.front_door import JOBS, Door, Worker, number_of

TEXTS = {"requests": [{"text": "A text that is long enough.", "operation": "summarize"}] * 2}
NOTES = {"records": [{"notes": ["Something happened."]}] * 2}
SHEET = b"chatId,question,URL\n1,What is it?,https://example.com\n2,Why?,\n"
TABLE = b"review,stars\nGood,5\nBad,1\n"
REQUEST = (
    b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":'
    b'{"model":"simulated","messages":[{"role":"user","content":"Why?"}]}}\n'
)
WEBHOOK = {"name": "ends", "url": "https://example.com/hooks", "event_types": ["job.cancelled"]}
OPERATION = "chat"  # the prompt with texts of its own


@dataclass(frozen=True)
class Furnished:
    """`jobs` by their state or contract, `labels` of those that have one, `keys` and `files` by their ids.

    `webhook` is the id of an endpoint, `delivery` that of something to be sent there.
    """

    door: Door
    jobs: Mapping[str, str]
    labels: Sequence[str]
    keys: Sequence[str]
    files: Sequence[str]
    revoked: str  # the text of a key that was revoked
    webhook: str
    delivery: str

    @property
    def ended(self) -> list[str]:
        """Jobs whose streams end."""
        return [job for state, job in self.jobs.items() if state.startswith(("ended", "cancelled"))]

    def rows(self) -> dict[str, list[str]]:
        """All that the database has of it, by table."""
        found = {}
        with reading() as session:
            numbers = session.scalars(select(Job.id).where(Job.tenant_id == self.door.tenant_id)).all()
            for table in Base.metadata.sorted_tables:
                wanted = _of(table, self.door.tenant_id, numbers)
                if wanted is not None:
                    found[table.name] = sorted(repr(tuple(row)) for row in session.execute(wanted))
        return found


def furnish(door: Door) -> Furnished:
    """Give the tenant of `door`, which has no jobs yet, some of everything."""
    webhook = door.post("/api/v1/webhooks", json=WEBHOOK).get_json()["id"]
    jobs, labels = _jobs(door), ["furnished-text", "furnished-batch"]
    [delivery] = door.get("/api/v1/webhook-deliveries").get_json()["data"]
    made = [
        door.post("/api/v1/keys", json={"name": f"key {number}", "scopes": ["jobs:read"]}).get_json()
        for number in range(3)
    ]
    keys = [key["id"] for key in made]
    assert door.call("DELETE", f"/api/v1/keys/{keys[0]}").status_code == 204
    texts = door.call("PUT", f"/api/v1/prompt-overrides/{OPERATION}", json={"prompt": "Say {{ question }}"})
    assert texts.status_code == 200, texts.text
    files = [_uploaded(door), f"file-{uuid.UUID(jobs['ended']).hex}-output"]
    return Furnished(door, jobs, labels, keys, files, made[0]["key"], webhook, delivery["id"])


def key_of(tenant: str, *scopes: str) -> str:
    """The text of a new key of `tenant`."""
    _, text = in_transaction(
        lambda session: api_keys.create(session, tenant, name="alone", user="eve", scopes=scopes)
    )
    return text


def _jobs(door: Door) -> dict[str, str]:
    worker = Worker()
    states = ("new", "running", "paused", "ended", "cancelled")
    native = {state: door.submit(3, name=state) for state in states}
    worker.end(native["running"], [0])
    worker.end(native["paused"], [0])
    worker.end(native["ended"], [0, 1])
    worker.end(native["ended"], [2], error=("server_error", "it broke"))
    for state, verb in (("paused", "pause"), ("cancelled", "cancel")):
        assert door.post(f"{JOBS}/{native[state]['id']}/{verb}").status_code == 200
    jobs = {state: job["id"] for state, job in native.items()} | _of_dialects(door)
    for name, job in jobs.items():
        if name.startswith("ended "):
            worker.end({"id": job}, range(2))
        if name.startswith(("ended", "cancelled")):
            advance.run(number_of({"id": job}))
    return jobs


def _of_dialects(door: Door) -> dict[str, str]:
    """Jobs of two records in every contract, by `ended <contract>`; and one that has not ended in each."""
    tenant = door.get("/api/v1/me").get_json()["tenant_id"]
    one = {"content": base64.b64encode(b"some text").decode(), "filename": "a.txt"}
    documents = {"tenant_id": tenant, "documents": [one] * 2, "prompt": "Read it."}
    items = {"data": [{"prompt": "x"}, {"prompt": "y"}], "metadata": {"model_id": "simulated"}}
    found = {}
    for state in ("new", "ended"):
        label = {"batch_id": "furnished-text"} if state == "ended" else {}
        found[f"{state} texts"] = _named(door, "/batch_process", json={**TEXTS, **label})
        found[f"{state} notes"] = _named(door, "/api/v1/batch/analyze", json=NOTES)
        found[f"{state} documents"] = _named(door, "/api/v1/batch/jobs", json=documents)
        label = {"batch_id": "furnished-batch"} if state == "ended" else {}
        found[f"{state} batch"] = _named(door, "/api/batch-processor/submit", json={**items, **label})
        found[f"{state} chats"] = _named(door, "/api/batch/create", data={"file": (BytesIO(SHEET), "q.csv")})
        requests = [json.loads(REQUEST), {**json.loads(REQUEST), "custom_id": "b"}]
        batch = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "requests": requests}
        found[f"{state} files"] = _named(door, "/v1/batches", json=batch)
        table = {"model": "simulated", "template": "{{ review }}", "file": (BytesIO(TABLE), "t.csv")}
        found[f"{state} table"] = _named(door, JOBS, data=table)
    return found


def _uploaded(door: Door) -> str:
    """The id of an uploaded file."""
    form = {"file": (BytesIO(REQUEST), "asked.jsonl"), "purpose": "batch"}
    answer = door.post("/v1/files", data=form, content_type="multipart/form-data")
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["id"])


def _named(door: Door, path: str, **request: Any) -> str:
    answer = door.post(path, headers={"Prefer": "respond-async"}, **request)
    assert answer.status_code in (200, 202), answer.text
    return answer.headers["Penstock-Job"]


def _of(table: Table, tenant_id: int, jobs: Sequence[int]) -> Any:
    """The rows of `table` that are the tenant's; None when it has no such rows."""
    if table.name == "tenant":
        return select(table).where(table.c.id == tenant_id)
    if "tenant_id" in table.c:
        return select(table).where(table.c.tenant_id == tenant_id)
    if "job_id" in table.c:
        return select(table).where(table.c.job_id.in_(jobs))
    return None
