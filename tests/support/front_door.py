"""The front door of one test's own, without workers: the test itself says how records end."""

import datetime as dt
import io
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import insert, select
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from app.core.accounts import api_keys
from app.core.breaker import Breaker
from app.core.money import ledger
from app.core.pipeline import notifications, outcomes
from app.core.pipeline.outcomes import Outcome
from app.core.reading import job_json
from app.core.requests import job_context
from app.core.requests.claim import Claim
from app.factory import create_app
from app.providers import answers
from app.providers.client import Usage
from models import Job, Lease, Record, RecordStatus
from models.base import now
from models.session import in_transaction, reading
from models.transitions import moving_records

JOBS = "/api/v1/jobs"
ANSWER = {"id": "msg_1", "content": [{"type": "text", "text": "Good."}]}


class Door:
    """A caller with a key. `other()` is one of another tenant, at the same door."""

    def __init__(self, tenant: str = "acme", scopes: Sequence[str] = ("admin",), app: Any = None) -> None:
        self.app = app or create_app()
        # What the test before has seen of Redis is not of ours.
        job_json._breaker, notifications._breaker = Breaker(), Breaker()
        row, self.key = in_transaction(
            lambda session: api_keys.create(session, tenant, name="test", user="ada", scopes=scopes)
        )
        self.tenant_id, self.prefix = row.tenant_id, row.prefix
        self.client: FlaskClient = self.app.test_client()
        self.headers = {"X-API-Key": self.key}

    def other(self, tenant: str = "other", scopes: Sequence[str] = ("admin",)) -> "Door":
        return Door(tenant, scopes, self.app)

    def colleague(self, user: str, scopes: Sequence[str] = ("jobs:read", "jobs:write")) -> "Door":
        """Another user of the same tenant, at the same door; this one must be an admin."""
        asked = {"name": user, "user_id": user, "scopes": scopes}
        made, door = self.post("/api/v1/keys", json=asked).get_json(), copy(self)
        door.key, door.prefix, door.headers = made["key"], made["prefix"], {"X-API-Key": made["key"]}
        return door

    def call(self, method: str, path: str, **request: Any) -> TestResponse:
        headers = {**self.headers, **request.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **request)

    def get(self, path: str, **request: Any) -> TestResponse:
        return self.call("GET", path, **request)

    def post(self, path: str, **request: Any) -> TestResponse:
        return self.call("POST", path, **request)

    def submit(self, records: Any = 3, **fields: Any) -> dict[str, Any]:
        """A job that was taken."""
        response = self.post_records(records, **fields)
        assert response.status_code in (200, 202), response.text
        job: dict[str, Any] = response.get_json()
        return job

    def post_records(
        self, records: Any = 3, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> TestResponse:
        if isinstance(records, int):
            records = [{"custom_id": f"r{number}", "prompt": f"Say {number}"} for number in range(records)]
        body = {"model": "simulated", "records": records, **fields}
        return self.post(JOBS, data=json.dumps(body), content_type="application/json", headers=headers or {})

    def upload(
        self,
        file: str,
        content: bytes,
        headers: Mapping[str, str] | None = None,
        path: str = JOBS,
        **fields: Any,
    ) -> TestResponse:
        part = FileStorage(io.BytesIO(content), filename=file, name="file")
        boundary, body = encode_multipart({"model": "simulated", **fields, "file": part})
        content_type = f'multipart/form-data; boundary="{boundary}"'
        return self.post(path, data=body, content_type=content_type, headers=headers or {})

    def job(self, job: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.get(job["links"]["self"]).get_json()
        return found


class Worker:
    """Claims records and ends them, as a slice worker's transactions do."""

    def __init__(self) -> None:
        self.lease_id = in_transaction(
            lambda session: session.execute(
                insert(Lease).values(name="test").returning(Lease.id)
            ).scalar_one()
        )

    def claim(self, job: Mapping[str, Any], indices: Sequence[int]) -> list[Claim]:
        job_id = number_of(job)

        def work(session: Any) -> list[Claim]:
            for old in (RecordStatus.PENDING, RecordStatus.WAITING):
                session.execute(
                    moving_records(
                        old,
                        RecordStatus.RUNNING,
                        Record.job_id == job_id,
                        Record.idx.in_(indices),
                        lease_id=self.lease_id,
                        attempts=Record.attempts + 1,
                        claimed_at=now(),
                    )
                )
            rows = [session.get_one(Record, (job_id, idx)) for idx in indices]
            return [
                Claim(job_id, row.idx, self.lease_id, row.attempts, row.tries, row.request_bytes, None, None)
                for row in rows
            ]

        return in_transaction(work)

    def end(
        self,
        job: Mapping[str, Any],
        indices: Sequence[int],
        answer: bytes | None = None,
        error: tuple[str, str] | None = None,
        model: str = "simulated",
        tell: bool = True,
        usage: Callable[[Claim], Usage] = lambda claim: Usage(10, 5),
    ) -> None:
        """End records in one group: with an answer, or with an error when it is given, or with both."""
        claims = self.claim(job, indices)
        of = job_context.of(number_of(job))
        body = answer or (None if error else json.dumps(ANSWER).encode())
        group = [
            Outcome(
                job=of,
                claim=claim,
                call=ledger.answered(model, {}, usage(claim), "req_1", 0.25, sent_at=dt.datetime.now(dt.UTC)),
                status=RecordStatus.FAILED if error else RecordStatus.SUCCEEDED,
                body=body,
                usage=None if body is None else usage(claim),
                stop_reason=None if body is None else answers.stop_reason_of(json.loads(body)),
                error_type=error[0] if error else None,
                error_message=error[1] if error else None,
            )
            for claim in claims
        ]
        in_transaction(lambda session: outcomes.write(session, group))
        if tell:
            notifications.publish([of.job_id])


def number_of(job: Mapping[str, Any]) -> int:
    """A job's number inside."""
    with reading() as session:
        return session.scalars(select(Job.id).where(Job.uid == uuid.UUID(job["id"]))).one()
