"""OpenAI's webhook endpoints: `client.webhooks` of its SDK."""

from typing import Any

from app.core.accounts.api_keys import WEBHOOKS
from app.core.webhooks import events
from app.dialects.webhook_endpoints import wire
from app.dialects.webhook_endpoints.schemas import (
    CreateIn,
    DeletedOut,
    EndpointListOut,
    EndpointOut,
    EndpointWithSecretOut,
    EventTypesOut,
    ListQuery,
    RotateIn,
    TestIn,
    TestOut,
    UpdateIn,
)
from app.errors import BadInput
from app.services import webhooks
from app.web import idempotency, openapi
from app.web.auth import caller, needs
from app.web.blueprint import Blueprint
from app.web.capacity import preparing
from app.web.error_shapes import OpenAIErrorOut
from app.web.errors import refused_as_400

PREFIX = "/v1"
ENDPOINTS, TYPES = "/webhook_endpoints", "/webhook_event_types"
PREFIXES = (PREFIX + ENDPOINTS, PREFIX + TYPES)

blp = Blueprint(
    "webhook_endpoints",
    __name__,
    errors=OpenAIErrorOut,
    url_prefix=PREFIX,
    description=f"{openapi.OTHERS} Webhook endpoints as OpenAI's SDK manages them.",
)
blp.register_error_handler(BadInput, refused_as_400)


@blp.route(ENDPOINTS, methods=["POST"])
@blp.doc(parameters=[idempotency.DESCRIPTION])
@needs(WEBHOOKS, 400, 409)
@blp.arguments(
    CreateIn,
    error_status_code=400,
    example={"name": "Batches", "url": "https://example.com/hooks", "event_types": ["batch.completed"]},
)
@blp.response(200, EndpointWithSecretOut)
def create_endpoint(asked: dict[str, Any]) -> dict[str, Any]:
    """Register an address for events. Its secret is shown by this response, and by its repetition."""
    return wire.write(webhooks.create(caller(), repeat=idempotency.repeat(asked), **asked))


@blp.route(ENDPOINTS, methods=["GET"])
@needs(WEBHOOKS, 400)
@blp.arguments(ListQuery, location="query", error_status_code=400)
@blp.response(200, EndpointListOut)
def list_endpoints(query: dict[str, Any]) -> dict[str, Any]:
    """List endpoints, newest first."""
    return wire.page(webhooks.page(caller().tenant_id, query["after"], query["limit"] + 1), query["limit"])


@blp.route(f"{ENDPOINTS}/<endpoint_id>", methods=["GET"])
@needs(WEBHOOKS, 404)
@blp.response(200, EndpointOut)
def get_endpoint(endpoint_id: str) -> dict[str, Any]:
    """Get an endpoint; `penstock` says whether and why it is switched off."""
    return wire.write(webhooks.get(caller().tenant_id, endpoint_id))


@blp.route(f"{ENDPOINTS}/<endpoint_id>", methods=["POST"])
@needs(WEBHOOKS, 400, 404)
@blp.arguments(UpdateIn, error_status_code=400, example={"name": "All batches"})
@blp.response(200, EndpointOut)
def update_endpoint(asked: dict[str, Any], endpoint_id: str) -> dict[str, Any]:
    """Change an endpoint. A new URL switches one on that had been switched off."""
    return wire.write(webhooks.change(caller(), endpoint_id, asked))


@blp.route(f"{ENDPOINTS}/<endpoint_id>", methods=["DELETE"])
@needs(WEBHOOKS, 404)
@blp.response(200, DeletedOut)
def delete_endpoint(endpoint_id: str) -> dict[str, Any]:
    """Delete an endpoint: nothing more is sent to it."""
    removed = webhooks.remove(caller(), endpoint_id)
    return {"id": removed.public_id, "object": "webhook_endpoint.deleted", "deleted": True}


@blp.route(f"{ENDPOINTS}/<endpoint_id>/rotate_secret", methods=["POST"])
@needs(WEBHOOKS, 400, 404)
@blp.arguments(RotateIn, error_status_code=400, example={"keep_old_secret_active_for_24_hours": True})
@blp.response(200, EndpointWithSecretOut)
def rotate_secret(asked: dict[str, Any], endpoint_id: str) -> dict[str, Any]:
    """Replace the secret. The old one is void at once, or signs beside the new one for 24 hours."""
    keep = asked["keep_old_secret_active_for_24_hours"]
    return wire.write(webhooks.rotate(caller(), endpoint_id, keep=keep))


@blp.route(f"{ENDPOINTS}/<endpoint_id>/test", methods=["POST"])
@needs(WEBHOOKS, 400, 404, 503)
@blp.arguments(TestIn, error_status_code=400, example={"event_type": "batch.completed"})
@blp.response(200, TestOut)
def test_endpoint(asked: dict[str, Any], endpoint_id: str) -> dict[str, Any]:
    """Send a sample event at once. A 400 says why the endpoint could not be reached."""
    with preparing() as seat:
        found, status = webhooks.try_out(caller().tenant_id, endpoint_id, asked["event_type"])
        seat.give_back()
    return {
        "object": "webhook_endpoint.test",
        "webhook_endpoint_id": found.public_id,
        "event_type": asked["event_type"],
        "success": True,
        "status_code": status,
    }


@blp.route(TYPES, methods=["GET"])
@needs(WEBHOOKS)
@blp.response(200, EventTypesOut)
def list_event_types() -> dict[str, Any]:
    """List the events that may be sent."""
    return {"object": "list", "data": list(events.TYPES)}
