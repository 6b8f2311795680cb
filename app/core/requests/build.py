"""From a record's stored input to the request that is sent for it."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from app.core.requests import sent_schema
from app.core.requests.job_context import JobContext
from app.core.requests.prompt_cache import layout
from app.core.requests.prompt_cache.layout import Keep
from app.errors import BadInput, RequestRejected
from app.ingest.bounds import MAX_TOKENS, bounds_answer
from app.ingest.documents import Block
from app.ingest.whole import bounds
from app.providers import answers, messages_requests, registry, shapes
from app.providers.client import REFUSAL

Text = TypeVar("Text", str, str | None)

Turn = tuple[bytes, bytes]  # the input and the answer of an earlier turn of the conversation


def build(
    job: JobContext,
    body: bytes,
    max_tokens: int | None,
    history: Sequence[Turn],
    attached: Block | None = None,
    keep: Keep | None = None,
) -> dict[str, Any]:
    """The whole request: the job's parts, the conversation's successful turns, the record's own.

    The record's own values win over the job's. `attached` is the content block of a document; `keep` says
    what of it the provider shall keep, unless the record or a turn before it does; None: nothing.
    Raises `RequestRejected` when the request cannot be built.
    """
    record = json.loads(body)
    if "refused" in record:
        raise RequestRejected(record["refused"]["message"], type=record["refused"]["type"])
    if "input" in record:
        return {**job.params, "model": job.model, "input": record["input"]}
    if "url" in record:
        return _whole(job, record, max_tokens)
    if job.schema_fault is not None:
        raise RequestRejected(job.schema_fault, type="schema_error")
    params = dict(job.params)
    system, schema = _system_and_schema(job, record)
    if system is not None:
        params["system"] = system
    if schema is not None:
        params["output_config"] = {
            **params.get("output_config", {}),
            "format": {"type": "json_schema", "schema": schema},
        }
    params |= record.get("params", {})
    params.setdefault("model", job.model)
    if max_tokens is not None:
        params["max_tokens"] = max_tokens  # the record's own, unless a retry raised it
    params.setdefault("max_tokens", job.max_tokens)
    _check_bound(params["max_tokens"])
    messages = _messages(job, record) if attached is None else [_about(attached, job)]
    params["messages"] = [*_earlier(job, history), *messages]
    _check_provider(job, params["model"])
    if (
        keep is None
        or job.least_cacheable is None
        or layout.sets_its_own(body, *(turn for turn, _ in history))
    ):
        return params
    return layout.marked(params, job, record, len(messages), keep)


def prompt_of(job: JobContext, record: dict[str, Any]) -> str:
    """What a record that is a row of a table asks, as `build` asks it.

    Raises `RequestRejected` for one that does not fit.
    """
    return _prompt(job, record)


def _whole(job: JobContext, record: dict[str, Any], max_tokens: int | None) -> dict[str, Any]:
    """A whole request as it came, and what its call is priced and limited by. A retry may raise the bound."""
    body = record["body"]
    if max_tokens is not None:
        given = (name for name in bounds.BOUNDS.get(record["url"], ()) if body.get(name) is not None)
        body.update(dict.fromkeys(given, max_tokens))
    _check_provider(job, body["model"])
    if not registry.of(body["model"]).takes_whole_requests:
        return _as_messages(body) | {"max_tokens": max_tokens or job.max_tokens}
    return {
        "model": body["model"],
        "max_tokens": max_tokens or job.max_tokens,
        "url": record["url"],
        "body": body,
    }


def _as_messages(body: dict[str, Any]) -> dict[str, Any]:
    """A request for a chat completion for a provider of Messages, with a schema as that takes it."""
    params = messages_requests.of(body)
    form = params.get("output_config", {}).get("format")
    if form is not None and isinstance(form["schema"], dict):
        form["schema"] = sent_schema.of(form["schema"])
    return params


def _check_bound(max_tokens: Any) -> None:
    """Refuse what no provider takes, and neither limits nor caps can count."""
    if not bounds_answer(max_tokens, least=0):
        raise RequestRejected(
            f"max_tokens: give a whole number up to {MAX_TOKENS:,}; found {max_tokens!r:.40}"
        )


def _about(attached: Block, job: JobContext) -> dict[str, Any]:
    return {"role": "user", "content": [attached, {"type": "text", "text": job.prompt}]}


def _system_and_schema(
    job: JobContext, record: dict[str, Any]
) -> tuple[str | None, Mapping[str, Any] | None]:
    """Those of the operation that the record names, else the job's; the schema as its provider takes it."""
    operation, schema = job.operation_of(record), job.sent_schemas[record.get("operation")]
    if operation is None:
        return job.system, schema
    return _rendered(operation.system_for, record["row"]), schema


def _check_provider(job: JobContext, model: Any) -> None:
    """A record may name another model of its job's provider; another provider has limits of its own."""
    try:
        provider = registry.of(str(model)).name
    except BadInput as error:
        raise RequestRejected(error.message, type="unknown_model") from error
    if provider != job.provider:
        raise RequestRejected(
            f"model {model!r} is answered by {provider!r}, the job's {job.model!r} by {job.provider!r}:"
            " submit the records of each provider as a job of their own",
            type="unknown_model",
        )


def _messages(job: JobContext, record: dict[str, Any]) -> list[Any]:
    if "params" in record:
        return list(record["params"]["messages"])
    if "messages" in record:
        return list(record["messages"])
    return [{"role": "user", "content": _prompt(job, record)}]


def _prompt(job: JobContext, record: dict[str, Any]) -> str:
    if "prompt" in record:
        return str(record["prompt"])
    row = record["row"]
    operation = job.operation_of(record)
    if operation is not None:
        return _rendered(operation.prompt_for, row)
    if job.template is None:
        return str(row["prompt"])
    return _rendered(job.template.render, row)


def _rendered(render: Callable[[Mapping[str, Any]], Text], row: Mapping[str, Any]) -> Text:
    try:
        return render(row)
    except BadInput as error:
        raise RequestRejected(error.message, type="template_error") from error


def _earlier(job: JobContext, history: Sequence[Turn]) -> list[Any]:
    """The earlier turns, without those that a provider would refuse to read again."""
    turns: list[Any] = []
    for body, answer in history:
        message = shapes.message_of(answer)
        content = answers.sendable(message)
        if content and answers.stop_reason_of(message) != REFUSAL and not _awaits_results(content):
            turns += _messages(job, json.loads(body))
            turns.append({"role": "assistant", "content": content})
    return turns


def _awaits_results(content: Sequence[Any]) -> bool:
    """Whether an answer calls a tool whose result is not in it, as after a cut."""
    blocks = [block for block in content if isinstance(block, dict)]
    calls = {block.get("id") for block in blocks if block.get("type") in ("tool_use", "server_tool_use")}
    return not calls <= {block.get("tool_use_id") for block in blocks}
