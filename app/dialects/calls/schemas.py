"""Bodies of calls: what is needed here is described, everything else is passed on."""

import marshmallow as ma
from marshmallow import fields, validate

from app.web.blueprint import PageSize

# What is documented of a response that comes as server-sent events where a stream was asked for.
_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
}
STREAMED = {200: {"content": {"text/event-stream": {"schema": _EVENT}}}}


class Open(ma.Schema):
    """With any other fields, which are passed on."""

    class Meta:
        unknown = ma.INCLUDE


class MessageIn(Open):
    """A request of the Messages API."""

    model = fields.String(required=True)
    max_tokens = fields.Integer(required=True, strict=True)
    messages = fields.List(fields.Dict(), required=True, validate=validate.Length(min=1))
    stream = fields.Boolean(allow_none=True)


class MessageOut(Open):
    """A message, as its provider wrote it."""

    content = fields.List(fields.Dict(), required=True)


class CountOut(Open):
    """The tokens of a request."""

    input_tokens = fields.Integer(required=True)


class CountIn(Open):
    """A request of the Messages API, without what is about its answer."""

    model = fields.String(required=True)
    messages = fields.List(fields.Dict(), required=True, validate=validate.Length(min=1))


class ModelQuery(ma.Schema):
    """A page of models, for clients of the Messages API."""

    limit = PageSize(20, 1_000)
    after_id = fields.String()
    before_id = fields.String()
    beta = fields.String(metadata={"description": "Has no effect."})


class ModelOut(Open):
    """A model; further fields are those of its API."""

    id = fields.String(required=True, metadata={"example": "claude-haiku-4-5"})


class ModelsOut(Open):
    """Models; further fields are those of their API."""

    data = fields.List(fields.Nested(ModelOut), required=True)


class ChatIn(Open):
    """A request for a chat completion."""

    model = fields.String(required=True)
    messages = fields.List(fields.Dict(), required=True, validate=validate.Length(min=1))
    stream = fields.Boolean(allow_none=True)


class ChatOut(Open):
    """A chat completion, as its provider wrote it."""

    choices = fields.List(fields.Dict(), required=True)


class ResponseIn(Open):
    """A request for a response."""

    model = fields.String(required=True)
    input = fields.Raw(required=True, metadata={"type": ["string", "array"], "items": {"type": "object"}})
    stream = fields.Boolean(allow_none=True)


class ResponseOut(Open):
    """A response, as its provider wrote it."""

    output = fields.List(fields.Dict(), required=True)


class EmbeddingsIn(Open):
    """A request for embeddings."""

    model = fields.String(required=True)
    input = fields.Raw(required=True, metadata={"type": ["string", "array"], "items": {}})


class EmbeddingsOut(Open):
    """Embeddings, as their provider wrote them."""

    data = fields.List(fields.Dict(), required=True)


class EitherProblemOut(Open):
    message = fields.String(required=True)
    type = fields.String(required=True, metadata={"example": "not_found_error"})


class EitherErrorOut(Open):
    """An error of either API; further fields are those of it."""

    error = fields.Nested(EitherProblemOut, required=True)
