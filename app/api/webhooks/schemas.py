"""Bodies, queries and responses of webhooks."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.api.request_schemas import PageQuery
from app.core.webhooks import endpoints, events, urls
from app.web.blueprint import Truth
from models.webhook import DeliveryStatus

_TIME = {"format": "date-time", "example": "2026-11-22T10:15:00.123456Z"}
_URL = {"format": "uri", "example": "https://example.com/hooks"}


def _time() -> fields.String:
    return fields.String(required=True, allow_none=True, metadata=_TIME)


def _event_types(*, required: bool) -> fields.List[Any]:
    known = validate.OneOf(events.TYPES, error="there is no event {input}; there are {choices}")
    return fields.List(fields.String(validate=known), required=required, validate=validate.Length(1, 100))


class WebhookIn(ma.Schema):
    name = fields.String(required=True, validate=validate.Length(1, endpoints.MAX_NAME))
    url = fields.String(required=True, validate=validate.Length(1, urls.LONGEST), metadata=_URL)
    event_types = _event_types(required=True)


class WebhookChange(ma.Schema):
    """What is omitted stays as it is."""

    name = fields.String(validate=validate.Length(1, endpoints.MAX_NAME))
    url = fields.String(validate=validate.Length(1, urls.LONGEST), metadata=_URL)
    event_types = _event_types(required=False)
    enabled = Truth(
        metadata={"description": "A new URL switches an endpoint on, too, that had been switched off."}
    )


class WebhookRotationIn(ma.Schema):
    keep_for_24_hours = Truth(
        load_default=False,
        metadata={"description": "Sign with the present secret, too, for another 24 hours."},
    )


class WebhookTrialIn(ma.Schema):
    event_type = fields.String(required=True, validate=validate.OneOf(events.TYPES))


class WebhookQuery(PageQuery):
    """A page of endpoints."""


class DeliveryQuery(PageQuery):
    endpoint = fields.String(load_default=None, metadata={"description": "Only those to this endpoint."})
    job = fields.String(load_default=None, metadata={"description": "Only those about this job."})
    status = fields.String(
        load_default=None, validate=validate.OneOf([str(status) for status in DeliveryStatus])
    )


class WebhookOut(ma.Schema):
    id = fields.String(required=True, metadata={"example": "we_0199a0b1c2d37f8e9a0b1c2d3e4f5a6b"})
    name = fields.String(required=True)
    url = fields.String(required=True)
    event_types = fields.List(fields.String(), required=True)
    secret_hint = fields.String(required=True, allow_none=True)
    enabled = fields.Boolean(required=True)
    disabled_at = _time()
    disabled_reason = fields.String(required=True, allow_none=True)
    failing_since = _time()
    created_at = _time()
    updated_at = _time()


class WebhookWithSecretOut(WebhookOut):
    secret = fields.String(
        required=True, metadata={"description": "What signs its events. Only this response shows it."}
    )


class WebhookPage(ma.Schema):
    data = fields.List(fields.Nested(WebhookOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class WebhookSecretOut(ma.Schema):
    secret = fields.String(required=True, metadata={"example": "whsec_…"})


class WebhookTrialOut(ma.Schema):
    status_code = fields.Integer(required=True, metadata={"description": "What the endpoint answered."})


class DeliveryOut(ma.Schema):
    id = fields.String(required=True, metadata={"format": "uuid"})
    event_id = fields.String(required=True, metadata={"description": "The header `webhook-id`."})
    event_type = fields.String(required=True)
    url = fields.String(required=True)
    endpoint = fields.Boolean(
        required=True, metadata={"description": "Sent to an endpoint; otherwise to the job's `webhook_url`."}
    )
    status = fields.String(required=True, validate=validate.OneOf([str(one) for one in DeliveryStatus]))
    attempts = fields.Integer(required=True)
    next_attempt_at = _time()
    last_attempt_at = _time()
    last_status_code = fields.Integer(required=True, allow_none=True)
    last_answer = fields.String(
        required=True, allow_none=True, metadata={"description": "The beginning of the receiver's answer."}
    )
    last_error = fields.String(required=True, allow_none=True)
    payload = fields.Raw(required=True, metadata={"type": "object", "description": "What is sent."})
    created_at = _time()
    ended_at = _time()


class DeliveryPage(ma.Schema):
    data = fields.List(fields.Nested(DeliveryOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True)
