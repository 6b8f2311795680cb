"""The audit log of the caller's tenant."""

from typing import Any

from app.api.blueprint import Blueprint
from app.api.request_schemas import AuditQuery
from app.api.response_schemas import AuditPage
from app.core.accounts import audit
from app.core.accounts.api_keys import AUDIT
from app.web import cursors
from app.web.auth import caller, needs
from models.session import reading

blp = Blueprint("audit", "The audit log of your tenant.")


@blp.route("/audit", methods=["GET"])
@needs(AUDIT)
@blp.arguments(AuditQuery, location="query")
@blp.response(200, AuditPage)
def list_events(query: dict[str, Any]) -> dict[str, Any]:
    """List events, newest first, optionally only those of `event_type`."""
    me, limit = caller(), query["limit"]
    before = cursors.number_before(query["cursor"])
    with reading() as session:
        found = audit.page(session, me.tenant_id, query["event_type"], before, limit + 1)
    more = len(found) > limit
    found = found[:limit]
    return {
        "data": [audit.as_json(event, str(me.tenant_uid)) for event in found],
        "next_cursor": cursors.write(str(found[-1].id)) if more else None,
    }
