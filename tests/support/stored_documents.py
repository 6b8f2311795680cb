"""Documents for tests, and the slice worker that stores them, played by the test itself."""

import base64
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import select

from app.core.pipeline import notifications
from app.core.requests import job_context
from app.core.worker import store_only
from models import Window
from models.session import in_transaction, reading
from tasks import advance
from tests.support.front_door import Door, Worker, number_of

JOBS = "/api/v1/batch/jobs"
PDF = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0"


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def document(content: bytes | str = b"Hello", filename: str = "a.txt", **more: Any) -> dict[str, Any]:
    """One document as the wire has it; a text stands for its base64 as it is."""
    text = content if isinstance(content, str) else encoded(content)
    return {"filename": filename, "content": text, **more}


class Sender:
    """A caller with document jobs."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.tenant = door.get("/api/v1/me").get_json()["tenant_id"]

    def post(self, documents: Any, tenant: str | None = None, **fields: Any) -> Any:
        body = {"tenant_id": tenant or self.tenant, "documents": documents, **fields}
        return self.door.post(JOBS, data=json.dumps(body), content_type="application/json")

    def submit(self, documents: Any, **fields: Any) -> dict[str, Any]:
        response = self.post(documents, **fields)
        assert response.status_code == 200, response.text
        job: dict[str, Any] = response.get_json()
        return {**job, "id": job["job_id"], "links": {"events": f"{JOBS}/{job['job_id']}/stream"}}

    def job(self, job: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.door.get(f"{JOBS}/{job['id']}").get_json()
        return found

    def records(self, job: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The same job, as the native contract tells it."""
        found: list[dict[str, Any]] = self.door.get(f"/api/v1/jobs/{job['id']}/records").get_json()["data"]
        return found


def store(worker: Worker, job: Mapping[str, Any], count: int | None = None) -> None:
    """End the next documents of a job, all if `count` is None, as slices do, and let it finish."""
    number = number_of(job)
    advance.run(number)
    with reading() as session:
        found = session.scalars(select(Window).where(Window.job_id == number, Window.drained_at.is_(None)))
        for window in list(found):
            in_transaction(
                partial(
                    store_only.end_next,
                    job=job_context.of(number),
                    window_id=window.id,
                    epoch=window.epoch,
                    lease_id=worker.lease_id,
                    limit=count or 10_000,
                )
            )
    notifications.publish([number])
    advance.run(number)


def files_in(folder: Path) -> list[str]:
    """Keys that an object store in a folder holds."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class ParseQueue:
    """The other end of the hand-off: a parse worker takes from it with BRPOP."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        self._client, self.name = client, name

    def __len__(self) -> int:
        return int(self._client.llen(self.name))

    def take(self) -> dict[str, str]:
        found = self._client.brpop([self.name], timeout=5)
        assert found is not None
        return json.loads(found[1])

    def lose(self) -> None:
        self._client.delete(self.name)


def audit(door: Door, **query: str) -> list[dict]:
    return door.get("/api/v1/audit", query_string=query).get_json()["data"]
