"""What was sent to webhooks and what is still to be sent; and sending it again."""

import json
from typing import Any

from flask import Blueprint, Response, request

from app.core.accounts.api_keys import WEBHOOKS
from app.core.reading import jobs
from app.core.webhooks import deliveries, endpoints
from app.core.webhooks.deliveries import Filter
from app.dashboard.blueprint import done, page
from app.errors import BadInput
from app.services import webhooks
from app.web import cursors
from app.web.auth import caller, needs
from models.session import reading

blp = Blueprint("webhook_deliveries", __name__)

PAGE = 50
FILTERS = ("endpoint", "job", "status")


@blp.get("/webhooks/deliveries")
@needs(WEBHOOKS)
def list_deliveries() -> Response:
    """The tenant's deliveries, newest first; of an endpoint, of a job or of a status where that is asked."""
    me, cursor = caller(), request.args.get("cursor")
    asked = {name: request.args[name] for name in FILTERS if request.args.get(name)}
    with reading() as session:
        wanted = _filter(session, me.tenant_id, asked)
        before = cursors.number_before(cursor)
        found = deliveries.page(session, me.tenant_id, wanted, before, PAGE + 1)
    more, found = len(found) > PAGE, found[:PAGE]
    return page(
        "webhooks/deliveries.html",
        title="Deliveries",
        deliveries=found,
        asked=asked,
        statuses=deliveries.STATUSES,
        next=cursors.write(str(found[-1].id)) if more else None,
        is_first=cursor is None,
    )


@blp.get("/webhooks/deliveries/<delivery_id>")
@needs(WEBHOOKS)
def show_delivery(delivery_id: str) -> Response:
    """A delivery with what was sent and what came back."""
    with reading() as session:
        found = deliveries.find(session, caller().tenant_id, delivery_id)
    payload = json.dumps(json.loads(found.body), indent=2, ensure_ascii=False)
    return page("webhooks/delivery.html", title="A delivery", delivery=found, payload=payload)


@blp.post("/webhooks/deliveries/<delivery_id>/resend")
@needs(WEBHOOKS)
def resend_delivery(delivery_id: str) -> Response:
    """Send it again, at once and under the same event id."""
    found = webhooks.send_again(caller().tenant_id, delivery_id)
    return done(
        "dashboard.webhook_deliveries.show_delivery",
        f"{found.event_type} is sent again now; load the page again to see what came back.",
        delivery_id=delivery_id,
    )


def _filter(session: Any, tenant_id: int, asked: dict[str, str]) -> Filter:
    endpoint, job, status = (asked.get(name) for name in FILTERS)
    if status is not None and status not in deliveries.STATUSES:
        raise BadInput(f"status: one of {', '.join(deliveries.STATUSES)}; found {status[:20]!r}")
    return Filter(
        endpoint_id=None if endpoint is None else endpoints.find(session, tenant_id, endpoint).id,
        job_id=None if job is None else jobs.find(session, tenant_id, job).id,
        status=status,
    )
