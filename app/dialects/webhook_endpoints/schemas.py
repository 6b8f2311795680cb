"""Bodies, queries and responses of OpenAI's webhook endpoints, by the types of its SDK."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.core.webhooks import events, urls
from app.web.blueprint import Truth

_UNKNOWN = "`{input}` never happens here; events are {choices}"


def _url(*, required: bool) -> fields.String:
    return fields.String(
        required=required,
        validate=validate.Length(1, urls.LONGEST),
        metadata={"format": "uri", "example": "https://example.com/hooks"},
    )


def _name(*, required: bool) -> fields.String:
    return fields.String(required=required, validate=validate.Length(1, 200), metadata={"example": "Batches"})


def _event_type(**options: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(events.TYPES, error=_UNKNOWN), **options)


def _event_types(*, required: bool) -> fields.List[Any]:
    return fields.List(
        _event_type(),
        required=required,
        validate=validate.Length(1, 100),
        metadata={"example": ["batch.completed"]},
    )


class CreateIn(ma.Schema):
    name = _name(required=True)
    url = _url(required=True)
    event_types = _event_types(required=True)


class UpdateIn(ma.Schema):
    """What is omitted stays as it is."""

    name = _name(required=False)
    url = _url(required=False)
    event_types = _event_types(required=False)


class RotateIn(ma.Schema):
    keep_old_secret_active_for_24_hours = Truth(load_default=False)


class TestIn(ma.Schema):
    event_type = _event_type(required=True, metadata={"example": "batch.completed"})


class ListQuery(ma.Schema):
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100, error="give 1 to 100"))
    after = fields.String(load_default=None, metadata={"description": "The last id of the page before."})


class ExtrasOut(ma.Schema):
    """What Penstock knows beyond OpenAI's contract."""

    enabled = fields.Boolean(required=True)
    disabled_at = fields.Integer(required=True, allow_none=True)
    disabled_reason = fields.String(required=True, allow_none=True)
    failing_since = fields.Integer(required=True, allow_none=True)


class EndpointOut(ma.Schema):
    id = fields.String(required=True, metadata={"example": "we_0199…"})
    object = fields.String(required=True, validate=validate.Equal("webhook_endpoint"))
    name = fields.String(required=True)
    url = fields.String(required=True)
    event_types = fields.List(fields.String(), required=True)
    signing_secret_hint = fields.String(required=True, allow_none=True)
    created_at = fields.Integer(required=True)
    updated_at = fields.Integer(required=True)
    penstock = fields.Nested(ExtrasOut, required=True)


class EndpointWithSecretOut(EndpointOut):
    signing_secret = fields.String(
        required=True,
        metadata={"description": "Shown by this response, to a repetition of the call, and never again."},
    )


class EndpointListOut(ma.Schema):
    object = fields.String(required=True, validate=validate.Equal("list"))
    data = fields.List(fields.Nested(EndpointOut), required=True)
    first_id = fields.String(required=True, allow_none=True)
    last_id = fields.String(required=True, allow_none=True)
    has_more = fields.Boolean(required=True)


class DeletedOut(ma.Schema):
    id = fields.String(required=True)
    object = fields.String(required=True, validate=validate.Equal("webhook_endpoint.deleted"))
    deleted = fields.Boolean(required=True)


class TestOut(ma.Schema):
    object = fields.String(required=True, validate=validate.Equal("webhook_endpoint.test"))
    webhook_endpoint_id = fields.String(required=True)
    event_type = fields.String(required=True)
    success = fields.Boolean(required=True)
    status_code = fields.Integer(required=True, metadata={"description": "What the endpoint answered."})


class EventTypesOut(ma.Schema):
    object = fields.String(required=True, validate=validate.Equal("list"))
    data = fields.List(fields.String(), required=True)
