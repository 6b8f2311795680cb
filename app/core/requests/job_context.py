"""What a worker must know of a job to ask its records. Each process reads it once: nothing of it changes."""

import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import structlog
from sqlalchemy import select

from app.core.requests import sent_schema, shared_part, strict_schema
from app.core.requests.schemas import AnswerSchema
from app.core.requests.shared_part import Shared
from app.errors import BadInput, NotFound
from app.ingest import operations
from app.ingest.beginnings.common import SharedInput
from app.ingest.draft import Defaults
from app.ingest.operations import Operation
from app.ingest.templates import Template, compile_template
from app.ingest.values import byte_size
from app.providers import registry
from config import settings
from models.job import Job, JobSpec
from models.session import reading
from models.tenant import Tenant, User


@dataclass(frozen=True)
class JobContext:
    """The job-level parts of a request, and the rules for its calls."""

    job_id: int
    tenant_id: int
    uid: uuid.UUID
    tenant_uid: uuid.UUID
    total: int
    model: str
    provider: str
    group: str  # the limit group of the job's model
    seats: int | None  # calls in flight, over all workers
    mean_request_bytes: int
    priority: int  # as it was when the job was first served here; `JobWatch` knows the present one
    retries: int
    max_request_bytes: int
    max_tokens: int
    deadline: int  # seconds of a call, from connecting to the last byte
    system: str | None
    template_source: str | None
    prompt: str | None  # asked about each document
    schema: dict[str, Any] | None
    escalate_to: str | None  # the model that is asked where the job's gives no answer that fits
    dedupe: bool  # it has copies, which end with the records whose they are
    params: dict[str, Any]
    operations: Mapping[str, Operation]  # that its records name
    headers: Mapping[str, str]  # that go with each call
    unbounded: str | None  # why the most that a call can cost is unknown
    facts: Mapping[str, str]  # job, tenant, user and request, as log lines name them
    attended: str | None  # a caller waits for its only answer: see `models.job.Job`
    shared_input: SharedInput | None  # that its records bring themselves
    prompt_cache: bool  # what its records share may be kept by the provider
    lane: int  # in whose turn it is served: see `models.job.Job`

    @property
    def asks(self) -> bool:
        """Whether its records are asked; else they are documents to be stored, or were refused."""
        return self.group != registry.NOBODY

    def compile(self) -> None:
        """Compile the schemas and the template; raises `BadInput` for a template that cannot be used."""
        self.schema_fault, self.template  # noqa: B018 - cached from the first access on

    @cached_property
    def schema_fault(self) -> str | None:
        """Why answers cannot be checked, as in a job that is older than a bound; None where they can."""
        try:
            self._answer_schemas  # noqa: B018 - cached from the first access on
        except BadInput as error:
            return error.message
        return None

    @cached_property
    def template(self) -> Template | None:
        return None if self.template_source is None else compile_template(self.template_source)

    @cached_property
    def least_cacheable(self) -> int | None:
        """See `shared_part.least_cacheable`."""
        return shared_part.least_cacheable(self._parts, wanted=self.prompt_cache)

    @cached_property
    def shared(self) -> Shared | None:
        """What its records share, if that is enough to be kept."""
        return shared_part.kept(self._parts, wanted=self.prompt_cache)

    @property
    def _parts(self) -> Defaults:
        return Defaults(
            self.model,
            self.max_tokens,
            system=self.system,
            template=self.template_source,
            prompt=self.prompt,
            schema=self.schema,
            params=self.params,
            operations=self.operations,
            shared_input=self.shared_input,
        )

    def operation_of(self, record: Mapping[str, Any]) -> Operation | None:
        """The operation that a record names, in place of the job's system, template and schema."""
        return self.operations[record["operation"]] if "operation" in record else None

    def answer_schema_of(self, body: bytes) -> AnswerSchema | None:
        """What the answer to a record must fit; None when it was asked without a schema."""
        if not self.operations:
            return self._answer_schemas[None]
        return self._answer_schemas[json.loads(body).get("operation")]

    @cached_property
    def sent_schemas(self) -> Mapping[str | None, Mapping[str, Any] | None]:
        """The schema that goes with a request of each operation, and of none."""
        provider = registry.of(self.model)
        if provider.takes_schema_subset:
            copy = strict_schema.of if provider.requires_properties else sent_schema.of
            return {name: schema and copy(schema) for name, schema in self._schemas.items()}
        return self._schemas

    @cached_property
    def _answer_schemas(self) -> dict[str | None, AnswerSchema | None]:
        return {
            name: None if schema is None else AnswerSchema(schema) for name, schema in self._schemas.items()
        }

    @cached_property
    def _schemas(self) -> dict[str | None, Mapping[str, Any] | None]:
        schemas: dict[str | None, Mapping[str, Any] | None] = {None: self.schema}
        return schemas | {name: operation.schema for name, operation in self.operations.items()}

    def shared_bytes_of(self, body: bytes) -> int:
        """What the job's parts add to the request of a record, as counted in its `request_bytes`."""
        record = json.loads(body) if self.operations else {}
        operation = self.operation_of(record)
        if operation is None:
            return self._shared_bytes
        system = operation.system_for(record["row"]) or ""
        return self._shared_bytes + operation.schema_bytes + byte_size(system)

    @cached_property
    def _shared_bytes(self) -> int:
        return self._parts.request_bytes


@lru_cache(maxsize=256)
def of(job_id: int) -> JobContext:
    """The context of a job; raises `NotFound`."""
    row = _read(job_id)
    job: Job = row.Job
    spec: JobSpec = row.JobSpec
    defaults = settings.current()
    return JobContext(
        job_id=job.id,
        tenant_id=job.tenant_id,
        uid=job.uid,
        tenant_uid=row.tenant_uid,
        total=job.total,
        model=job.model,
        provider=_provider_of(job),
        group=job.limit_group,
        seats=seats_of(job),
        mean_request_bytes=-(-job.request_bytes // max(job.total, 1)) or job.max_request_bytes or 1,
        priority=job.priority,
        retries=defaults.record_retries if job.retries is None else job.retries,
        max_request_bytes=job.max_request_bytes,
        max_tokens=spec.max_tokens,
        deadline=min(spec.timeout or defaults.call_deadline, defaults.call_deadline),
        system=spec.system,
        template_source=spec.template,
        prompt=spec.prompt,
        schema=None if spec.schema is None else json.loads(spec.schema),
        escalate_to=spec.escalate_to,
        dedupe=job.copies > 0,
        params=json.loads(spec.params),
        operations=operations.from_bytes(spec.operations),
        headers=spec.headers or {},
        unbounded=spec.unbounded,
        facts={
            "job": str(job.uid),
            "tenant": row.tenant,
            "user": row.user,
            **({"request_id": job.request_id} if job.request_id else {}),
        },
        attended=job.attended,
        shared_input=SharedInput.of(spec.shared_input),
        prompt_cache=defaults.prompt_cache and spec.prompt_cache is not False,
        lane=job.lane,
    )


def name_in_log(job_id: int) -> None:
    """Name the job, and whose it is, in the lines of this thread and of the calls that it starts."""
    with suppress(NotFound):
        structlog.contextvars.bind_contextvars(**of(job_id).facts)


def _provider_of(job: Job) -> str:
    """By its limit group where no provider answers its model any more, so that the job waits for it."""
    provider = registry.find(job.model)
    return job.limit_group.partition(":")[0] if provider is None else provider.name


def _read(job_id: int) -> Any:
    with reading() as session:
        row = session.execute(
            select(
                Job,
                JobSpec,
                Tenant.name.label("tenant"),
                Tenant.uid.label("tenant_uid"),
                User.name.label("user"),
            )
            .join(JobSpec, JobSpec.job_id == Job.id)
            .join(Tenant, Tenant.id == Job.tenant_id)
            .join(User, User.id == Job.user_id)
            .where(Job.id == job_id)
        ).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    return row


def seats_of(job: Job) -> int | None:
    """The job's calls in flight over all workers, as settings and job allow; None: any number."""
    bounds = (registry.max_concurrent_calls(job.limit_group, settings.current()), job.max_concurrent)
    return min((bound for bound in bounds if bound is not None), default=None)
