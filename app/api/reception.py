"""From a request to drafts on disk: every check before anything is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask import Request

from app.api.asked import Asked, received
from app.core.schemas import compile_schema
from app.errors import BadInput
from app.ingest.draft import Defaults, Problems
from app.ingest.jsonl import read_jsonl
from app.ingest.records import read_records
from app.ingest.spool import DraftSpool
from app.ingest.tables import Table, read_csv, read_xlsx
from app.ingest.templates import Template, compile_template
from app.providers import registry
from app.seats import enough_memory
from app.submission import Options
from config import settings

TABLES = {"csv": read_csv, "tsv": read_csv, "xlsx": read_xlsx}


@dataclass(frozen=True, slots=True)
class Received:
    """A submission whose records are in the spool, and which may be stored as it is."""

    defaults: Defaults
    options: Options


def take_in(request: Request, spool: DraftSpool, key: str | None) -> Received:
    """Fill `spool` with the records of `request`. Raises `Refused`, with every fault that was found."""
    with received(request) as body, enough_memory(body.size):
        asked = body.read()
        fingerprint = None if key is None else asked.fingerprint()
        defaults = _defaults(asked.fields)
        template = None if defaults.template is None else compile_template(defaults.template)
        problems = Problems()
        table = _spool(asked, defaults, template, problems, spool)
        problems.refuse()
    if table is not None:
        defaults = replace(defaults, template=table.template.source)
    return Received(defaults, _options(asked.fields, table, key, fingerprint))


def _defaults(fields: Mapping[str, Any]) -> Defaults:
    chosen = settings.current()
    model = fields.get("model", chosen.default_model)
    registry.require_key(model, chosen)
    schema = fields.get("schema")
    if schema is not None:
        compile_schema(schema)
    inputs = registry.takes_inputs(model)
    if inputs:
        _refuse_language(model, fields)
    return Defaults(
        model=model,
        max_tokens=fields.get("max_tokens", chosen.default_max_tokens),
        system=fields.get("system"),
        template=fields.get("template"),
        schema=schema,
        params=fields.get("params", {}),
        inputs=inputs,
        timeout=fields.get("timeout"),
    )


def _refuse_language(model: str, fields: Mapping[str, Any]) -> None:
    problems = Problems()
    for name in ("max_tokens", "system", "template", "schema", "params"):
        if name in fields:
            problems.add(name, f"model {model!r} is asked with inputs, and takes no such thing")
    problems.refuse()


def _spool(
    asked: Asked, defaults: Defaults, template: Template | None, problems: Problems, spool: DraftSpool
) -> Table | None:
    """Read all records; returns the table if they came in one."""
    limit = settings.current().max_records
    table: Table | None = None
    if asked.records is not None:
        drafts = read_records(asked.records, defaults, template, problems, max_records=limit)
    elif asked.format in TABLES:
        if defaults.inputs:
            raise BadInput(f"file: a table is rows for a template, and model {defaults.model!r} takes inputs")
        table = TABLES[asked.format](asked.stream, defaults, template, problems, max_records=limit)
        drafts = table.drafts
    else:
        drafts = read_jsonl(asked.stream, defaults, template, problems, max_records=limit)
    for draft in drafts:
        spool.add(draft)
    return table


def _options(fields: Mapping[str, Any], table: Table | None, key: str | None, mark: bytes | None) -> Options:
    return Options(
        name=fields.get("name"),
        priority=fields.get("priority", 5),
        retries=fields.get("retries"),
        max_cost=fields.get("max_cost"),
        expires_in=fields.get("expires_in"),
        metadata=fields.get("metadata", {}),
        columns=None if table is None else table.columns,
        skipped=None if table is None else table.skipped,
        idempotency_key=key,
        fingerprint=mark,
    )
