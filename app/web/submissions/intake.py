"""From a request to drafts on disk: every check before anything is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Request

from app.core.documents.upload import Upload
from app.core.reading import table_rows
from app.core.requests import answer_fields, sent_schema
from app.core.requests.schemas import compile_schema
from app.errors import BadInput
from app.ingest.draft import Defaults, Problems
from app.ingest.forms.table_form import TableForm
from app.ingest.jsonl import read_jsonl
from app.ingest.records import read_records
from app.ingest.sheets import default_prompts
from app.ingest.sheets.rows import Choice
from app.ingest.spool import DraftSpool
from app.ingest.streams.json_list import JsonList
from app.ingest.tables import FORMATS, Table, read_table
from app.ingest.templates import Template, compile_template
from app.providers import registry
from app.services import table_form
from app.services.options import Options, Repeat
from app.web.capacity import enough_memory
from app.web.connection import while_connected
from app.web.idempotency import Sending
from app.web.submissions.asks import combined, spread, with_asks
from app.web.submissions.bodies import Asked, received
from config import settings

# Fields that lines and JSON do not have.
OF_TABLES = ("sheet", "header_row", "visible_only", "encoding", "separator")


@dataclass(frozen=True, slots=True)
class Received:
    """A submission whose records are in the spool and that can be stored."""

    defaults: Defaults
    options: Options


def take_in(
    request: Request,
    spool: DraftSpool,
    sending: Sending | None,
    upload: Upload | None = None,
    *,
    asks: bool = True,
) -> Received:
    """Fill `spool` with the records of `request`, and `upload` with the content of their documents.

    `asks`: they will be sent, so the provider of their model must be usable here. Raises `Refused` with every
    error found.
    """
    with received(request, upload) as body, enough_memory(body.size):
        asked = body.read(upload)
        repeat = None if sending is None else sending.repeat(asked.fingerprint())
        return read_in(asked, spool, repeat, upload, asks=asks)


def read_in(
    asked: Asked, spool: DraftSpool, repeat: Repeat | None, upload: Upload | None = None, *, asks: bool = True
) -> Received:
    """The same for a submission that was taken out of its request. The caller has taken the memory."""
    defaults = _defaults(asked.fields)
    if defaults.schema is not None and defaults.prompt is defaults.template is None and _has_documents(asked):
        defaults = replace(defaults, prompt=default_prompts.OF_DOCUMENT)
    template = None if defaults.template is None else compile_template(defaults.template)
    several = asked.fields.get("asks")
    if several is not None:
        defaults, template = with_asks(defaults, several), combined(several)
    problems = Problems()
    found = _spool(asked, defaults, template, problems, spool, upload)
    problems.refuse()
    table = found if isinstance(found, Table) else None
    defaults = _addressed(defaults, spool, asks=asks)
    defaults = replace(defaults, shared_input=spool.beginning.found())
    form = None if table is None else table_form.find(asked.format, asked.stream, table, upload)
    if table is not None and several is None:
        defaults = replace(defaults, template=table.template.source)
    notes = [*_of_schema(defaults), *(() if table is None else table.notes())]
    columns = None if found is None else found.columns
    names = None if several is None else [ask.name for ask in several]
    if 0 < spool.documents == spool.count:
        columns = table_rows.of_documents(asked.records or ())
    return Received(
        defaults, replace(_options(asked.fields, table, form, repeat, notes), columns=columns, asks=names)
    )


def _has_documents(asked: Asked) -> bool:
    return any(isinstance(record, dict) and "document" in record for record in asked.records or ())


def _defaults(fields: Mapping[str, Any]) -> Defaults:
    chosen = settings.current()
    model = fields.get("model", chosen.default_model)
    provider = registry.of(model)
    registry.refuse_misspelt(model, chosen, "model")
    schema = _schema(fields)
    if schema is not None:
        compile_schema(schema)
        sent_schema.refuse_open(schema)
    if (stronger := fields.get("escalate_to")) is not None:
        _check_stronger(stronger, model, schema)
    if not provider.takes_messages:
        _refuse_language(model, fields)
    return Defaults(
        model=model,
        max_tokens=fields.get("max_tokens", chosen.default_max_tokens),
        system=fields.get("system"),
        template=fields.get("template"),
        prompt=fields.get("prompt"),
        schema=schema,
        escalate_to=stronger,
        params=fields.get("params", {}),
        inputs=provider.takes_inputs,
        messages=provider.takes_messages,
        whole=provider.takes_whole_requests,
        timeout=fields.get("timeout"),
        prompt_cache=fields.get("prompt_cache"),
    )


def _schema(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What every answer must match."""
    if not (listed := fields.get("answer_fields")):
        return fields.get("schema")
    if "schema" in fields:
        raise BadInput.of_field("fields", "give `fields` or `schema`, not both")
    return answer_fields.schema_of(listed)


def _check_stronger(stronger: str, model: str, schema: Mapping[str, Any] | None) -> None:
    """Refuse a model to escalate to that could never be asked."""
    if schema is None:
        raise BadInput.of_field(
            "escalate_to", "only answers under `fields` or a `schema` are checked: give one"
        )
    if stronger == model:
        raise BadInput.of_field("escalate_to", f"{model} is the job's own model: name a stronger one")
    if registry.of(stronger).name != registry.of(model).name:
        raise BadInput.of_field("escalate_to", f"it must be a model of the provider that answers {model}")
    registry.refuse_misspelt(stronger, settings.current(), "escalate_to")


def _refuse_language(model: str, fields: Mapping[str, Any]) -> None:
    problems = Problems()
    for name in ("max_tokens", "system", "template", "asks", "prompt", "schema", "answer_fields", "params"):
        if name in fields:
            problems.add(
                name.removeprefix("answer_"), f"model {model!r} takes an `input` per record, not this"
            )
    problems.refuse()


def _addressed(defaults: Defaults, spool: DraftSpool, *, asks: bool) -> Defaults:
    """With the model that runs the records: none, if they are documents that are only stored."""
    if defaults.prompt is not None and not spool.documents:
        raise BadInput(
            "prompt: it applies to documents, and no record is one: give each record its own `prompt`"
        )
    if defaults.prompt is not None or not spool.documents:
        if asks:
            registry.require(defaults.model, settings.current(), "model")
        for model in sorted(spool.models if asks else {defaults.model, *spool.models}):
            registry.refuse_misspelt(model, settings.current())
        return defaults
    if spool.documents < spool.count:
        raise BadInput(
            "documents are only stored unless the job has a `prompt`, but other records go to the model:"
            " submit them as separate jobs, or give the prompt"
        )
    return replace(defaults, model=registry.NOBODY)


def _spool(
    asked: Asked,
    defaults: Defaults,
    template: Template | None,
    problems: Problems,
    spool: DraftSpool,
    upload: Upload | None,
) -> Table | JsonList | None:
    """Read all records; returns the table or the list of rows if they came as one."""
    limit, choice = settings.current().max_records, choice_of(asked)
    found: Table | JsonList | None = None
    if asked.records is not None:
        drafts = read_records(asked.records, defaults, template, problems, upload, max_records=limit)
    elif asked.format in FORMATS:
        if not defaults.messages:
            raise BadInput(
                f"file: a table's rows need a template, but model {defaults.model!r} takes an `input` per"
                " record"
            )
        found = read_table(
            asked.format, asked.stream, defaults, template, problems, max_records=limit, choice=choice
        )
        drafts = found.drafts
    elif asked.format == "json":
        items = asked.stream, defaults, template, problems, upload
        found = JsonList(*items, max_records=limit, rows=choice.rows)
        drafts = found.drafts
    else:
        lines = asked.stream, defaults, template, problems, upload
        drafts = read_jsonl(*lines, max_records=limit, rows=choice.rows)
    if defaults.operations:
        drafts = spread(drafts, defaults, limit)
    for draft in while_connected(drafts):
        spool.add(draft)
    return found


def choice_of(asked: Asked) -> Choice:
    """The part of the file that is to be read."""
    fields = {name: asked.fields[name] for name in OF_TABLES if name in asked.fields}
    if fields and asked.format not in FORMATS:
        raise BadInput(f"{', '.join(fields)}: only a table has that, and the file is {asked.format.upper()}")
    return Choice(asked.fields.get("rows"), **fields)


def _of_schema(defaults: Defaults) -> list[str]:
    """What answers under the job's schema never have, though it allows it."""
    if defaults.schema is None or not (unsent := sent_schema.unsent(defaults.schema)):
        return []
    return [f"answers have only properties that the schema names: {unsent[0]} is not sent to the model"]


def _options(
    fields: Mapping[str, Any],
    table: Table | None,
    form: TableForm | None,
    repeat: Repeat | None,
    notes: Sequence[str],
) -> Options:
    return Options(
        name=fields.get("name"),
        priority=fields.get("priority", 5),
        retries=fields.get("retries"),
        max_cost=fields.get("max_cost"),
        expires_in=fields.get("expires_in"),
        metadata=fields.get("metadata", {}),
        webhook_url=fields.get("webhook_url"),
        reuse=fields.get("reuse"),
        dedupe=fields.get("dedupe", False),
        try_first=fields.get("try_first"),
        form=form,
        skipped=None if table is None else table.skipped,
        notes=notes,
        repeat=repeat,
    )
