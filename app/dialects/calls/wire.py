"""What a call asks, and how its failures look in the terms of its API. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.errors import BadRequest, UnknownModel
from app.ingest import bounds
from app.ingest.draft import MAX_RECORD_BYTES, Defaults, Draft
from app.ingest.records import MODEL_NAME
from app.ingest.values import shown, to_json
from app.ingest.whole import bounds as whole_bounds
from app.providers import refusals, registry, shapes
from app.providers.openai_requests import CHAT, RESPONSES
from app.providers.streams import completions
from app.providers.streams.chunks import Chunks
from app.services.attended import Failure
from app.web.error_shapes import Fault, Shape, anthropic, openai

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    model: str
    streamed: bool
    draft: Draft
    defaults: Defaults
    chunks: Chunks | None = None  # in which the events of its stream are shown, if not as they come


def message_call(body: Any, default_max_tokens: int, headers: Mapping[str, str]) -> Call:
    """The call of a Messages request; its provider checks what is not needed here.

    `headers` are those of the caller that go with it. Raises `BadRequest`, and `UnknownModel` for a model
    that is not known.
    """
    fields = _fields(body)
    _check_messages(fields.get("messages"))
    max_tokens = fields.get("max_tokens")
    if not bounds.bounds_answer(max_tokens, least=0):
        raise _wrong(
            "max_tokens", f"give a whole number up to {bounds.MAX_TOKENS:,}; found {shown(max_tokens)}"
        )
    params = {name: value for name, value in fields.items() if name != "stream"}
    most = max_tokens or default_max_tokens
    why = bounds.unbounded(params)
    return _call(fields, {"params": params}, _defaults(fields, most, headers), max_tokens or None, why)


def count_params(body: Any) -> Json:
    """A request whose tokens are to be counted; raises as `message_call` does."""
    fields = _fields(body)
    _check_messages(fields.get("messages"))
    return fields


def raw_call(path: str, body: Any, default_max_tokens: int, headers: Mapping[str, str]) -> Call:
    """The call of a request for an OpenAI-compatible endpoint, which is sent as it stands.

    `headers` as in `message_call`. Raises `BadRequest`, and `UnknownModel` for a model that is not known.
    """
    fields = _fields(body)
    _check_asked(path, fields)
    translates = not registry.of(fields["model"]).takes_whole_requests
    if translates and path != CHAT:
        raise UnknownModel(
            f"model: {fields['model']!r} is not asked at {path}: ask it at {CHAT} or /v1/messages, or name"
            " an endpoint for it in the providers' file"
        )
    dropped = ("stream",) if fields.get("stream") else ("stream", "stream_options")
    request = {name: value for name, value in fields.items() if name not in dropped}
    _check_bounds(fields)
    asked = whole_bounds.most_tokens(path, request)
    defaults = _defaults(fields, asked or default_max_tokens, headers)
    usual = {"max_tokens": defaults.max_tokens} if translates else {}  # which is sent where none is asked for
    why = whole_bounds.unbounded(path, usual | request)
    call = _call(fields, {"url": path, "body": request}, defaults, asked, why)
    return replace(call, chunks=Chunks(wants_usage=completions.wants_usage(fields))) if translates else call


@dataclass(frozen=True, slots=True)
class Api:
    """How an API says what becomes of a call."""

    shape: Shape  # of its errors
    event: bytes  # the name's line of an error among a stream's events, if it has one
    has_messages: bool  # its answers are Messages

    def failure(self, failure: Failure, request_id: str) -> Mapping[str, Any]:
        """The provider's own words where they are in the form of this API."""
        body = failure.body or {}
        if refusals.is_in_form(body, of_messages=self.has_messages):
            return body
        return self.shape(Fault(failure.status, failure.type, failure.message, request_id))

    def failure_event(self, failure: Failure, request_id: str) -> bytes:
        """The same where a stream has begun."""
        return b"%sdata: %s\n\n" % (self.event, json.dumps(self.failure(failure, request_id)).encode())

    def answer(self, body: bytes, call: Call) -> bytes:
        """The answer as it came, or in the form of this API."""
        if call.chunks is not None:
            return to_json(shapes.chat_completion_of(body))
        if self.has_messages and b'"choices"' in body:
            return to_json(shapes.message_of(body))
        return body


MESSAGES = Api(anthropic, b"event: error\n", has_messages=True)
OPENAI = Api(openai, b"", has_messages=False)


def _fields(body: Any) -> Json:
    if not isinstance(body, dict):
        raise BadRequest(f"the body must be a JSON object; found {shown(body)}")
    if not isinstance(body.get("model"), str) or not MODEL_NAME.fullmatch(body["model"]):
        raise _wrong("model", f"give the name of a model; found {shown(body.get('model'))}")
    if not isinstance(body.get("stream"), bool | None):
        raise _wrong("stream", f"give true or false; found {shown(body['stream'])}")
    provider = registry.find(body["model"])
    if provider is None or not provider.takes_messages or provider.name == registry.NOBODY:
        raise UnknownModel(f"model: {body['model']!r} is not known here: GET /v1/models lists those that are")
    return body


def _wrong(field: str, message: str) -> BadRequest:
    return BadRequest(f"{field}: {message}", {"problems": [{"where": field, "message": message}]})


def _check_asked(path: str, fields: Json) -> None:
    """Raise `BadRequest` for a body that asks nothing; its endpoint checks the rest."""
    if path == CHAT:
        _check_messages(fields.get("messages"))
        return
    asked = fields.get("input")
    if path == RESPONSES and isinstance(asked, list) and not all(isinstance(one, dict) for one in asked):
        raise _wrong("input", "give a text, or a list of objects")
    if not isinstance(asked, str | list) and not (path == RESPONSES and fields.get("prompt")):
        raise _wrong("input", "give a text or a list")


def _check_bounds(fields: Json) -> None:
    if fields.get("background"):
        raise _wrong("background", "the answer is waited for here, so leave it out")
    for name in whole_bounds.MOST:
        most = fields.get(name)
        if most is not None and not bounds.bounds_answer(most):
            raise _wrong(name, f"give a whole number from 1 to {bounds.MAX_TOKENS:,}; found {shown(most)}")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise _wrong("messages", f"give a list of at least one message; found {shown(messages)}")
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _wrong(
                f"messages.{number}", f"give an object with a role and content; found {shown(message)}"
            )


def _defaults(fields: Json, most_tokens: int, headers: Mapping[str, str]) -> Defaults:
    whole = registry.of(fields["model"]).takes_whole_requests
    return Defaults(fields["model"], most_tokens, whole=whole, headers=headers)


def _call(fields: Json, record: Json, defaults: Defaults, own: int | None, why: str | None) -> Call:
    """`own` is the most tokens that it says itself, `why` the reason that its cost has no upper bound."""
    body = to_json(record)
    size = len(body) + defaults.request_bytes
    if size > MAX_RECORD_BYTES:
        raise BadRequest(f"the request has {size:,} bytes; a provider takes {MAX_RECORD_BYTES:,}")
    draft = Draft(body, size, max_tokens=own, model=fields["model"], unbounded=why)
    return Call(fields["model"], bool(fields.get("stream")), draft, defaults)
