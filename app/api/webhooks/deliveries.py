"""What was sent to webhooks and what is still to be sent, as its owner sees it."""

from typing import Any

from sqlalchemy.orm import Session

from app.api.blueprint import Blueprint
from app.api.webhooks.schemas import DeliveryOut, DeliveryPage, DeliveryQuery
from app.core.accounts.api_keys import WEBHOOKS
from app.core.json_text import timestamp
from app.core.reading import jobs
from app.core.webhooks import deliveries, endpoints
from app.core.webhooks.deliveries import Filter
from app.ingest.values import from_json
from app.services import webhooks
from app.web import cursors
from app.web.auth import caller, needs
from models.session import reading
from models.webhook import DeliveryStatus, WebhookDelivery

blp = Blueprint("webhook_deliveries", "What was sent to webhooks.")


@blp.route("/webhook-deliveries", methods=["GET"])
@needs(WEBHOOKS, 404)
@blp.arguments(DeliveryQuery, location="query")
@blp.response(200, DeliveryPage)
def list_deliveries(query: dict[str, Any]) -> dict[str, Any]:
    """List deliveries, newest first. They are kept for as long as the content of jobs."""
    limit, before = query["limit"], cursors.number_before(query["cursor"])
    with reading() as session:
        found = deliveries.page(session, caller().tenant_id, _filter(session, query), before, limit + 1)
    more, found = len(found) > limit, found[:limit]
    return {
        "data": [_shown(each) for each in found],
        "next_cursor": cursors.write(str(found[-1].id)) if more else None,
    }


@blp.route("/webhook-deliveries/<delivery_id>", methods=["GET"])
@needs(WEBHOOKS, 404)
@blp.response(200, DeliveryOut)
def get_delivery(delivery_id: str) -> dict[str, Any]:
    """Get a delivery."""
    with reading() as session:
        return _shown(deliveries.find(session, caller().tenant_id, delivery_id))


@blp.route("/webhook-deliveries/<delivery_id>/resend", methods=["POST"])
@needs(WEBHOOKS, 404, 409)
@blp.response(202, DeliveryOut)
def resend_delivery(delivery_id: str) -> dict[str, Any]:
    """Send a delivery again, at once and under the same `webhook-id`."""
    return _shown(webhooks.send_again(caller().tenant_id, delivery_id))


def _filter(session: Session, query: dict[str, Any]) -> Filter:
    tenant_id, endpoint, job = caller().tenant_id, query["endpoint"], query["job"]
    return Filter(
        endpoint_id=None if endpoint is None else endpoints.find(session, tenant_id, endpoint).id,
        job_id=None if job is None else jobs.find(session, tenant_id, job).id,
        status=query["status"],
    )


def _shown(delivery: WebhookDelivery) -> dict[str, Any]:
    is_pending = delivery.status == DeliveryStatus.PENDING
    return {
        "id": str(delivery.uid),
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "url": delivery.url,
        "endpoint": delivery.endpoint_id is not None,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "next_attempt_at": timestamp(delivery.next_at) if is_pending else None,
        "last_attempt_at": timestamp(delivery.last_attempt_at),
        "last_status_code": delivery.last_status_code,
        "last_answer": delivery.last_answer,
        "last_error": delivery.last_error,
        "payload": from_json(delivery.body.decode()),
        "created_at": timestamp(delivery.created_at),
        "ended_at": timestamp(delivery.ended_at),
    }
