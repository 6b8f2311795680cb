"""The addresses that are told of the ends of jobs: made, changed, switched off, tried, deleted."""

import hashlib
import json
import secrets
from typing import Any

from flask import Blueprint, Response, request

from app.core.accounts.api_keys import WEBHOOKS
from app.core.webhooks import deliveries, endpoints, events, urls
from app.core.webhooks.deliveries import Filter
from app.dashboard import typed
from app.dashboard.blueprint import done, page
from app.errors import BadInput, BadRequest, Conflict
from app.services import webhooks
from app.services.options import Repeat
from app.services.webhooks import WithHint
from app.web.auth import caller, needs
from app.web.capacity import preparing
from models.session import reading

blp = Blueprint("webhooks", __name__)

RECENT = 10  # deliveries beside an endpoint
LIST, ONE = "dashboard.webhooks.list_webhooks", "dashboard.webhooks.show_webhook"
USUAL = ("job.completed", "job.failed")  # of a new endpoint, unless its owner says otherwise


@blp.get("/webhooks")
@needs(WEBHOOKS)
def list_webhooks() -> Response:
    """All endpoints: a tenant has few."""
    found = webhooks.page(caller().tenant_id, None, endpoints.MOST)
    return page("webhooks/list.html", title="Webhooks", endpoints=found, most=endpoints.MOST)


@blp.post("/webhooks/secret")
@needs(WEBHOOKS)
def show_secret_of_jobs() -> Response:
    """What signs messages to the `webhook_url` of single jobs."""
    secret = webhooks.secret_of_jobs(caller().tenant_id)
    title = "The secret of jobs' own addresses"
    return page("webhooks/secret.html", title=title, secret=secret, endpoint=None)


@blp.get("/webhooks/new")
@needs(WEBHOOKS)
def new_webhook() -> Response:
    """The form of a new endpoint."""
    return _form()


@blp.post("/webhooks")
@needs(WEBHOOKS)
def create_webhook() -> Response:
    """Register an address; the same form sent twice registers it once."""
    try:
        asked = _asked()
        made = webhooks.create(caller(), repeat=_repeat(asked), **asked)
    except (BadInput, Conflict) as error:
        return _form(error)
    notice = "The webhook is there. Its secret, which signs what is sent, is behind the button below."
    return done(ONE, notice, webhook_id=made.endpoint.public_id)


@blp.get("/webhooks/<webhook_id>")
@needs(WEBHOOKS)
def show_webhook(webhook_id: str) -> Response:
    """An endpoint with its latest deliveries."""
    return _show(webhooks.get(caller().tenant_id, webhook_id))


@blp.post("/webhooks/<webhook_id>")
@needs(WEBHOOKS)
def change_webhook(webhook_id: str) -> Response:
    """Change its name, address and events."""
    found = webhooks.get(caller().tenant_id, webhook_id)
    try:
        changed = webhooks.change(caller(), webhook_id, _asked())
    except BadInput as error:
        return _show(found, error)
    return done(ONE, f"{changed.endpoint.name} is changed.", webhook_id=webhook_id)


@blp.post("/webhooks/<webhook_id>/enabled")
@needs(WEBHOOKS)
def switch_webhook(webhook_id: str) -> Response:
    """Switch it on, or off, as the button says."""
    on = request.form.get("enabled") == "true"
    found = webhooks.change(caller(), webhook_id, {"enabled": on}).endpoint
    what = "on: later events are sent to it" if on else "off: what waited for it is given up"
    return done(ONE, f"{found.name} is switched {what}.", webhook_id=webhook_id)


@blp.post("/webhooks/<webhook_id>/secret")
@needs(WEBHOOKS)
def show_secret(webhook_id: str) -> Response:
    """The secret that signs; on a page of its own, by a form: no address and no history has it."""
    endpoint = webhooks.get(caller().tenant_id, webhook_id).endpoint
    secret = webhooks.secret(caller().tenant_id, webhook_id)
    return _secret(endpoint, secret)


@blp.post("/webhooks/<webhook_id>/rotate")
@needs(WEBHOOKS)
def rotate_secret(webhook_id: str) -> Response:
    """Replace the secret, at once or with a day in which the present one signs, too."""
    made = webhooks.rotate(caller(), webhook_id, keep=typed.is_checked("keep"))
    return done(ONE, f"{made.endpoint.name} has a new secret.", webhook_id=webhook_id)


@blp.post("/webhooks/<webhook_id>/test")
@needs(WEBHOOKS)
def test_webhook(webhook_id: str) -> Response:
    """Send a sample event at once, and tell what came back."""
    webhooks.get(caller().tenant_id, webhook_id)
    event_type = request.form.get("event_type", "")
    if event_type not in events.TYPES:
        raise BadInput(f"there is no event {event_type[:40]!r}: choose one of the list")
    with preparing() as seat:
        try:
            _, status = webhooks.try_out(caller().tenant_id, webhook_id, event_type)
            told = f"The sample {event_type} was answered with {status}."
        except BadRequest as error:
            told = f"The sample {event_type} did not arrive: {error.message}."
        finally:
            seat.give_back()
    return done(ONE, told, webhook_id=webhook_id)


@blp.get("/webhooks/<webhook_id>/delete")
@needs(WEBHOOKS)
def ask_to_delete(webhook_id: str) -> Response:
    """What ends with it."""
    endpoint = webhooks.get(caller().tenant_id, webhook_id).endpoint
    return page("webhooks/delete.html", title="Delete a webhook", endpoint=endpoint, id=endpoint.public_id)


@blp.post("/webhooks/<webhook_id>/delete")
@needs(WEBHOOKS)
def delete_webhook(webhook_id: str) -> Response:
    """Delete it: nothing more is sent to it."""
    gone = webhooks.remove(caller(), webhook_id)
    return done(LIST, f"{gone.name} is deleted: nothing more is sent to it.")


def _asked() -> dict[str, Any]:
    """What the form says; raises `BadInput`."""
    chosen = request.form.getlist("event_types")
    known = [each for each in events.TYPES if each in chosen]
    if not known:
        raise BadInput.of_field("event_types", "choose at least one event")
    return {
        "name": typed.line("name", "a name", endpoints.MAX_NAME),
        "url": typed.line("url", "an address", urls.LONGEST),
        "event_types": known,
    }


def _repeat(asked: dict[str, Any]) -> Repeat:
    """The form's own name, and what it asks for: sent again, it finds what it made."""
    fingerprint = hashlib.sha256(json.dumps(asked).encode()).digest()
    once = hashlib.sha256(request.form.get("once", "").encode() + fingerprint).hexdigest()
    return Repeat(f"page:{once}", fingerprint)


def _form(error: BadInput | Conflict | None = None) -> Response:
    return page(
        "webhooks/form.html",
        status=200 if error is None else error.status,
        title="New webhook",
        fault=error if isinstance(error, Conflict) else None,
        faults=typed.faults(error) if isinstance(error, BadInput) else {},
        values=request.form,
        chosen=request.form.getlist("event_types") or USUAL,
        events=events.TYPES,
        once=secrets.token_urlsafe(16),
        most=endpoints.MAX_NAME,
    )


def _show(found: WithHint, error: BadInput | None = None) -> Response:
    endpoint = found.endpoint
    with reading() as session:
        recent = deliveries.page(session, caller().tenant_id, Filter(endpoint_id=endpoint.id), None, RECENT)
    return page(
        "webhooks/one.html",
        status=200 if error is None else error.status,
        title=endpoint.name,
        id=endpoint.public_id,
        endpoint=endpoint,
        hint=found.hint,
        deliveries=recent,
        faults=typed.faults(error),
        values=request.form if error else {"name": endpoint.name, "url": endpoint.url},
        chosen=request.form.getlist("event_types") if error else endpoint.event_types,
        events=events.TYPES,
        most=endpoints.MAX_NAME,
    )


def _secret(endpoint: Any, secret: str) -> Response:
    title = f"The secret of {endpoint.name}"
    return page("webhooks/secret.html", title=title, secret=secret, endpoint=endpoint, id=endpoint.public_id)
