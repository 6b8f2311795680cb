"""What an error looks like in each contract. Pure: needs no request to write one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema, fields

from app.errors import Path

# Pydantic's terms, which its clients look for.
_FIELD_TYPES = {"Missing data for required field.": "missing"}


ANTHROPIC_VERSION = "anthropic-version"  # the header that only clients of Anthropic's API send


@dataclass(frozen=True, slots=True)
class Fault:
    """What an error response contains, in whatever shape."""

    status: int
    type: str
    message: str
    request_id: str
    details: Mapping[str, Any] = field(default_factory=dict)
    paths: Sequence[Path] = ()  # of the problems in `details`, as in `BadInput`
    of_anthropic: bool = False  # its client is one of Anthropic's API
    error_id: str | None = None  # of an unexpected error: the log has the cause under it


Shape = Callable[[Fault], Mapping[str, Any]]


def native(fault: Fault) -> Mapping[str, Any]:
    return {
        "error": {
            "type": fault.type,
            "message": fault.message,
            "details": fault.details,
            "request_id": fault.request_id,
        }
    }


class DetailOut(Schema):
    """An error in FastAPI's shape."""

    detail = fields.String(
        required=True, metadata={"description": "What was requested, what was found, and what to do."}
    )
    error_id = fields.String(metadata={"description": "Identifies an unexpected error in the log."})


class ProblemOut(Schema):
    """One field's error."""

    loc = fields.List(
        fields.Raw(metadata={"type": ["string", "integer"]}),
        required=True,
        metadata={"example": ["body", "requests", 0, "text"], "description": "Where it is."},
    )
    msg = fields.String(required=True)
    type = fields.String(required=True)


class InvalidOut(Schema):
    """A 422 in FastAPI's shape."""

    detail = fields.List(fields.Nested(ProblemOut), required=True)


def detail(fault: Fault) -> Mapping[str, Any]:
    """FastAPI's shape, which the clients of several dialects parse."""
    if fault.status == 422:
        return {"detail": _fields(fault)}
    if fault.error_id is not None:
        return {"detail": fault.message, "error_id": fault.error_id}
    return {"detail": fault.message}


def _fields(fault: Fault) -> list[dict[str, Any]]:
    problems = fault.details.get("problems", [{"message": fault.message}])
    paths = fault.paths or [("body",)] * len(problems)
    return [
        {
            "loc": list(path),
            "msg": problem["message"],
            "type": _FIELD_TYPES.get(problem["message"], "value_error"),
        }
        for problem, path in zip(problems, paths, strict=True)
    ]


# Types of the Messages API, by status; others are `invalid_request_error`, or from 500 on `api_error`.
ANTHROPIC_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_ANTHROPIC_DETAILS = ("error_code", "problems", "more")  # of a refusal, that are told with its sentence
TOLD = 5  # problems of an input that OpenAI's shape tells
# Codes and types of OpenAI's API, by status; other codes are our own words.
_OPENAI_CODES = {
    401: "invalid_api_key",
    403: "insufficient_permissions",
    413: "request_too_large",
    429: "rate_limit_exceeded",
}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class AnthropicProblemOut(Schema):
    type = fields.String(required=True, metadata={"example": "invalid_request_error"})
    message = fields.String(
        required=True, metadata={"description": "What was requested, what was found, and what to do."}
    )
    details = fields.Dict(metadata={"description": "An `error_code`, or every problem of an input."})


class AnthropicErrorOut(Schema):
    """An error of Anthropic's API."""

    type = fields.Constant("error", required=True)
    error = fields.Nested(AnthropicProblemOut, required=True)
    request_id = fields.String(required=True)


def anthropic(fault: Fault) -> Mapping[str, Any]:
    """The shape of Anthropic's API."""
    kind = ANTHROPIC_TYPES.get(fault.status, "api_error" if fault.status >= 500 else "invalid_request_error")
    told: dict[str, Any] = {"type": kind, "message": fault.message}
    if details := {name: fault.details[name] for name in _ANTHROPIC_DETAILS if name in fault.details}:
        told["details"] = details
    return {"type": "error", "error": told, "request_id": fault.request_id}


class OpenAIProblemOut(Schema):
    message = fields.String(required=True)
    type = fields.String(required=True, metadata={"example": "invalid_request_error"})
    param = fields.String(required=True, allow_none=True, metadata={"description": "The field at fault."})
    code = fields.String(required=True, allow_none=True)


class OpenAIErrorOut(Schema):
    """An error of OpenAI's API."""

    error = fields.Nested(OpenAIProblemOut, required=True)


def openai(fault: Fault) -> Mapping[str, Any]:
    """The shape of OpenAI's API."""
    other = "server_error" if fault.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": _sentences(fault),
            "type": _OPENAI_TYPES.get(fault.status, other),
            "param": _param(fault),
            "code": _OPENAI_CODES.get(fault.status, fault.type),
        }
    }


def by_client(fault: Fault) -> Mapping[str, Any]:
    """The shape under paths that both of these APIs have: that of the API whose client asks."""
    return (anthropic if fault.of_anthropic else openai)(fault)


def _sentences(fault: Fault) -> str:
    """The message, with the next problems of an input: this shape has no other place for them."""
    problems = fault.details.get("problems", ())
    if len(problems) < 2:
        return fault.message
    told = [f"{problem['where']}: {problem['message']}".rstrip(".") for problem in problems[:TOLD]]
    more = len(problems) - len(told) + fault.details.get("more", 0)
    return "; ".join([*told, f"and {more} more"] if more else told)


def _param(fault: Fault) -> str | None:
    """The first field at fault."""
    problems = fault.details.get("problems") or [{}]
    where = problems[0].get("where")
    return where if isinstance(where, str) else None
