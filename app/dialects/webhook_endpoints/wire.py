"""Webhook endpoints in OpenAI's terms. Pure."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from app.services.webhooks import WithHint, WithSecret
from app.web.error_shapes import Fault
from models.webhook import WebhookEndpoint

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def identity(endpoint: WebhookEndpoint) -> str:
    return f"we_{endpoint.uid.hex}"


def write(found: WithHint | WithSecret) -> dict[str, Any]:
    endpoint = found.endpoint
    written = {
        "id": identity(endpoint),
        "object": "webhook_endpoint",
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": endpoint.event_types,
        "signing_secret_hint": found.hint,
        "created_at": _seconds(endpoint.created_at),
        "updated_at": _seconds(endpoint.updated_at),
        "penstock": {
            "enabled": endpoint.disabled_at is None,
            "disabled_at": _seconds(endpoint.disabled_at),
            "disabled_reason": endpoint.disabled_reason,
            "failing_since": _seconds(endpoint.failing_since),
        },
    }
    return written | ({"signing_secret": found.secret} if isinstance(found, WithSecret) else {})


def page(found: Sequence[WithHint], limit: int) -> dict[str, Any]:
    """A page of `limit`, of which one more is in `found` if there is one."""
    data = [write(each) for each in found[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > limit,
    }


def error(fault: Fault) -> Mapping[str, Any]:
    kind = _TYPES.get(fault.status, "invalid_request_error" if fault.status < 500 else "server_error")
    steps = [str(step) for step in (fault.paths[0][1:] if fault.paths else ())]
    return {
        "error": {
            "message": fault.message,
            "type": kind,
            "param": ".".join(steps) or None,
            "code": fault.type,
        }
    }


def _seconds(time: dt.datetime | None) -> int | None:
    return None if time is None else int(time.timestamp())
