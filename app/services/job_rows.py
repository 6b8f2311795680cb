"""A submission as the rows of its job, with its size and whether its cost has a bound."""

import datetime as dt
import json
import uuid

import structlog

from app.core.documents.upload import Upload
from app.core.money import pricing
from app.core.tracing import traces
from app.ingest import bounds, operations
from app.ingest.draft import Defaults
from app.ingest.forms.table_form import TableForm
from app.ingest.spool import DraftSpool
from app.ingest.values import byte_size
from app.providers import registry
from app.services.options import Options
from models.job import Job, JobSpec
from models.job_table import JobTable


def job_row(uid: uuid.UUID, spool: DraftSpool, defaults: Defaults, options: Options) -> Job:
    """What the submission says of the job's row."""
    return Job(
        uid=uid,
        name=options.name,
        priority=options.priority,
        urgency=options.urgency,
        time_limit_ms=options.time_limit_ms,
        model=defaults.model,
        # What asks nothing waits for nobody, whatever holds the group of its model.
        limit_group=registry.NOBODY if spool.asks_nothing else registry.limit_group(defaults.model),
        total=spool.count,
        request_bytes=spool.request_bytes,
        max_request_bytes=spool.max_request_bytes,
        label=options.label,
        # The web process binds it to all its log lines; the workers' lines about the job include it, too.
        request_id=structlog.contextvars.get_contextvars().get("request_id"),
        traceparent=traces.traceparent(),
        max_concurrent=options.max_concurrent,
        runs_with=options.runs_with,
        attended=options.attended,
        retries=options.retries,
        max_cost=options.max_cost,
        try_first=options.try_first,
        extra=dict(options.metadata),
    )


def spec_row(job_id: int, defaults: Defaults, options: Options, why: str | None) -> JobSpec:
    return JobSpec(
        job_id=job_id,
        max_tokens=defaults.max_tokens,
        timeout=defaults.timeout,
        system=defaults.system,
        template=defaults.template,
        prompt=defaults.prompt,
        escalate_to=defaults.escalate_to,
        schema=None if defaults.schema is None else json.dumps(defaults.schema).encode(),
        params=json.dumps(dict(defaults.params)).encode(),
        operations=operations.to_bytes(defaults.operations),
        asks=None if options.asks is None else list(options.asks),
        columns=None if options.columns is None else list(options.columns),
        skipped=None if options.skipped is None else list(options.skipped),
        notes=list(options.notes),
        headers=dict(defaults.headers) or None,
        prompt_cache=defaults.prompt_cache,
        shared_input=None if defaults.shared_input is None else defaults.shared_input.stored(),
        unbounded=why,
        webhook_url=options.webhook_url,
    )


def table_row(job_id: int, form: TableForm) -> JobTable:
    rows = None if form.rows is None else form.rows.to_bytes()
    return JobTable(job_id=job_id, format=form.format, form=form.to_json(), rows=rows)


def content_bytes(spool: DraftSpool, defaults: Defaults, upload: Upload | None) -> int:
    """Bytes of what is stored: records, what they share, documents."""
    shared = defaults.request_bytes + byte_size(defaults.template or "")
    return spool.bytes + shared + (0 if upload is None else upload.bytes)


def unbounded(defaults: Defaults, spool: DraftSpool) -> str | None:
    """Why the cost of one of the job's calls has no upper bound, or None."""
    if defaults.model == registry.NOBODY or spool.asks_nothing:
        return None
    why = bounds.unbounded({**defaults.params, "system": defaults.system}) or spool.unbounded
    if why is not None:
        return why
    today = dt.datetime.now(dt.UTC)
    for model in filter(None, (defaults.model, defaults.escalate_to, *sorted(spool.models))):
        if pricing.price_at(model, today) is None:
            return f"the model {model!r} has no price"
    return None
