"""Addresses that are told what happens, and the secret of jobs' own addresses."""

from typing import Any

from flask import Response

from app.api.blueprint import Blueprint
from app.api.webhooks.schemas import (
    WebhookChange,
    WebhookIn,
    WebhookOut,
    WebhookPage,
    WebhookQuery,
    WebhookRotationIn,
    WebhookSecretOut,
    WebhookTrialIn,
    WebhookTrialOut,
    WebhookWithSecretOut,
)
from app.core.accounts.api_keys import WEBHOOKS
from app.core.json_text import timestamp
from app.services import webhooks
from app.services.webhooks import WithHint, WithSecret
from app.web import cursors, idempotency
from app.web.auth import caller, needs
from app.web.capacity import preparing

blp = Blueprint("webhooks", "Webhooks: signed messages about the ends of jobs.")

_EXAMPLE = {"name": "Batches", "url": "https://example.com/hooks", "event_types": ["job.completed"]}
_KEEP = {"keep_for_24_hours": True}


@blp.route("/webhooks", methods=["POST"])
@blp.doc(parameters=[idempotency.DESCRIPTION])
@needs(WEBHOOKS, 409)
@blp.arguments(WebhookIn, example=_EXAMPLE)
@blp.response(201, WebhookWithSecretOut)
def create_webhook(asked: dict[str, Any]) -> dict[str, Any]:
    """Register an address for events. Its secret is shown by this response, and by its repetition.

    Messages are signed as Standard Webhooks says, so that OpenAI's and Anthropic's SDKs check them.
    """
    return _shown(webhooks.create(caller(), repeat=idempotency.repeat(asked), **asked))


@blp.route("/webhooks", methods=["GET"])
@needs(WEBHOOKS)
@blp.arguments(WebhookQuery, location="query")
@blp.response(200, WebhookPage)
def list_webhooks(query: dict[str, Any]) -> dict[str, Any]:
    """List endpoints, newest first, with why and since when one is switched off."""
    after = cursors.job_before(query["cursor"])
    found = webhooks.page(caller().tenant_id, None if after is None else str(after), query["limit"] + 1)
    more, found = len(found) > query["limit"], found[: query["limit"]]
    return {
        "data": [_shown(each) for each in found],
        "next_cursor": cursors.write(str(found[-1].endpoint.uid)) if more else None,
    }


@blp.route("/webhook-secret", methods=["GET"])
@needs(WEBHOOKS, 503)
@blp.response(200, WebhookSecretOut)
def get_webhook_secret() -> dict[str, Any]:
    """Get the secret that signs what is sent to the `webhook_url` of your tenant's jobs."""
    return {"secret": webhooks.secret_of_jobs(caller().tenant_id)}


@blp.route("/webhook-secret/rotate", methods=["POST"])
@needs(WEBHOOKS, 503)
@blp.arguments(WebhookRotationIn, example=_KEEP)
@blp.response(200, WebhookSecretOut)
def rotate_webhook_secret(asked: dict[str, Any]) -> dict[str, Any]:
    """Replace the secret that signs what is sent to the `webhook_url` of your tenant's jobs."""
    keep = asked["keep_for_24_hours"]
    return {"secret": webhooks.rotate_secret_of_jobs(caller(), keep=keep)}


@blp.route("/webhooks/<webhook_id>", methods=["GET"])
@needs(WEBHOOKS, 404)
@blp.response(200, WebhookOut)
def get_webhook(webhook_id: str) -> dict[str, Any]:
    """Get an endpoint."""
    return _shown(webhooks.get(caller().tenant_id, webhook_id))


@blp.route("/webhooks/<webhook_id>", methods=["PATCH"])
@needs(WEBHOOKS, 404)
@blp.arguments(WebhookChange, example={"enabled": True})
@blp.response(200, WebhookOut)
def change_webhook(asked: dict[str, Any], webhook_id: str) -> dict[str, Any]:
    """Change an endpoint, or switch it off or on."""
    return _shown(webhooks.change(caller(), webhook_id, asked))


@blp.route("/webhooks/<webhook_id>", methods=["DELETE"])
@needs(WEBHOOKS, 404)
@blp.response(204)
def delete_webhook(webhook_id: str) -> Response:
    """Delete an endpoint: nothing more is sent to it."""
    webhooks.remove(caller(), webhook_id)
    return Response(status=204)


@blp.route("/webhooks/<webhook_id>/rotate", methods=["POST"])
@needs(WEBHOOKS, 404)
@blp.arguments(WebhookRotationIn, example=_KEEP)
@blp.response(200, WebhookWithSecretOut)
def rotate_webhook(asked: dict[str, Any], webhook_id: str) -> dict[str, Any]:
    """Replace the secret of an endpoint."""
    return _shown(webhooks.rotate(caller(), webhook_id, keep=asked["keep_for_24_hours"]))


@blp.route("/webhooks/<webhook_id>/test", methods=["POST"])
@needs(WEBHOOKS, 400, 404, 503)
@blp.arguments(WebhookTrialIn, example={"event_type": "job.completed"})
@blp.response(200, WebhookTrialOut)
def test_webhook(asked: dict[str, Any], webhook_id: str) -> dict[str, Any]:
    """Send a sample event at once. A 400 says why the endpoint could not be reached."""
    with preparing() as seat:
        _, status = webhooks.try_out(caller().tenant_id, webhook_id, asked["event_type"])
        seat.give_back()
    return {"status_code": status}


def _shown(found: WithHint | WithSecret) -> dict[str, Any]:
    endpoint = found.endpoint
    shown = {
        "id": endpoint.public_id,
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": endpoint.event_types,
        "secret_hint": found.hint,
        "enabled": endpoint.disabled_at is None,
        "disabled_at": timestamp(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": timestamp(endpoint.failing_since),
        "created_at": timestamp(endpoint.created_at),
        "updated_at": timestamp(endpoint.updated_at),
    }
    return shown | ({"secret": found.secret} if isinstance(found, WithSecret) else {})
