"""Webhook endpoints in OpenAI's terms. Pure."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from app.services.webhooks import WithHint, WithSecret
from app.web import error_shapes

error = error_shapes.openai


def write(found: WithHint | WithSecret) -> dict[str, Any]:
    endpoint = found.endpoint
    written = {
        "id": endpoint.public_id,
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


def _seconds(time: dt.datetime | None) -> int | None:
    return None if time is None else int(time.timestamp())
