"""From a record's stored input to the request that is sent for it."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from app.core.requests.job_context import JobContext
from app.errors import BadInput, RequestRejected
from app.ingest.documents import Block
from app.providers import registry

Text = TypeVar("Text", str, str | None)

Turn = tuple[bytes, bytes]  # the input and the answer of an earlier turn of the conversation


def build(
    job: JobContext,
    body: bytes,
    max_tokens: int | None,
    history: Sequence[Turn],
    attached: Block | None = None,
) -> dict[str, Any]:
    """The whole request: the job's parts, the conversation's successful turns, the record's own.

    `attached` is the content block of a record that is a document.

    What a record says itself wins over what its job says. Raises `RequestRejected` when it cannot be made.
    """
    asked = json.loads(body)
    if "input" in asked:
        return {"model": job.model, "input": asked["input"]}
    params = dict(job.params)
    system, schema = _system_and_schema(job, asked)
    if system is not None:
        params["system"] = system
    if schema is not None:
        params["output_config"] = {
            **params.get("output_config", {}),
            "format": {"type": "json_schema", "schema": schema},
        }
    params |= asked.get("params", {})
    params.setdefault("model", job.model)
    params.setdefault("max_tokens", max_tokens or job.max_tokens)
    messages = _messages(job, asked) if attached is None else [_about(attached, job)]
    params["messages"] = [*_earlier(job, history), *messages]
    _check_provider(job, params["model"])
    return params


def _about(attached: Block, job: JobContext) -> dict[str, Any]:
    return {"role": "user", "content": [attached, {"type": "text", "text": job.prompt}]}


def _system_and_schema(job: JobContext, asked: dict[str, Any]) -> tuple[str | None, Mapping[str, Any] | None]:
    """Those of the operation that the record names, else the job's."""
    operation = job.operation_of(asked)
    if operation is None:
        return job.system, job.schema
    return _rendered(operation.system_for, asked["row"]), operation.schema


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


def _messages(job: JobContext, asked: dict[str, Any]) -> list[Any]:
    if "params" in asked:
        return list(asked["params"]["messages"])
    if "messages" in asked:
        return list(asked["messages"])
    return [{"role": "user", "content": _prompt(job, asked)}]


def _prompt(job: JobContext, asked: dict[str, Any]) -> str:
    if "prompt" in asked:
        return str(asked["prompt"])
    row = asked["row"]
    operation = job.operation_of(asked)
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
    """The turns before, without those answered with nothing: a provider refuses a message that is empty."""
    turns: list[Any] = []
    for body, answer in history:
        if content := json.loads(answer)["content"]:
            turns += _messages(job, json.loads(body))
            turns.append({"role": "assistant", "content": content})
    return turns
