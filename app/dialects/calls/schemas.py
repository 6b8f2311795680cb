"""Bodies of calls: what is needed here is described, everything else is passed on."""

import marshmallow as ma
from marshmallow import fields, validate


class Open(ma.Schema):
    """With any other fields, which are passed on."""

    class Meta:
        unknown = ma.INCLUDE


class MessageIn(Open):
    """A request of the Messages API."""

    model = fields.String(required=True)
    max_tokens = fields.Integer(required=True, strict=True)
    messages = fields.List(fields.Dict(), required=True, validate=validate.Length(min=1))
    stream = fields.Boolean()


class MessageOut(Open):
    """A message, as its provider wrote it."""

    content = fields.List(fields.Dict(), required=True)


class AnthropicProblemOut(ma.Schema):
    type = fields.String(required=True, metadata={"example": "invalid_request_error"})
    message = fields.String(required=True)


class AnthropicErrorOut(ma.Schema):
    """An error of the Messages API."""

    type = fields.Constant("error", required=True)
    error = fields.Nested(AnthropicProblemOut, required=True)
    request_id = fields.String(required=True)
