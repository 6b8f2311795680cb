"""API keys of the caller's tenant: made here and shown once, listed, and revoked."""

import hashlib
import json
import secrets
from typing import cast

from flask import Blueprint, Response, request

from app.core.accounts import api_keys
from app.core.accounts.api_keys import ADMIN, KEYS, MAX_NAME, MEANINGS, Naming
from app.dashboard import cookie, typed
from app.dashboard.blueprint import done, page
from app.errors import BadInput, Forbidden
from app.services import keys
from app.web import cursors
from app.web.auth import caller, needs

blp = Blueprint("keys", __name__)

PAGE = 50


@blp.get("/keys")
@needs(KEYS)
def list_keys() -> Response:
    """The tenant's keys, newest first."""
    me, cursor = caller(), request.args.get("cursor")
    found = keys.page(me, cursors.number_before(cursor), PAGE + 1)
    more, found = len(found) > PAGE, found[:PAGE]
    return page(
        "keys/list.html",
        title="Keys",
        keys=found,
        revocable={key.id for key in found if keys.may_revoke(me, key)},
        next=cursors.write(str(found[-1].id)) if more else None,
        is_first=cursor is None,
    )


@blp.get("/keys/new")
@needs(KEYS)
def new_key() -> Response:
    """The form of a new key."""
    return _form()


@blp.post("/keys")
@needs(KEYS)
def create_key() -> Response:
    """Make a key, and show its text: here and nowhere else, so the response is the page itself.

    The same form sent again, as by a reload, shows the same key and makes no other: its text is derived from
    the browser's own token and the form's, and stored nowhere.
    """
    scopes, user = request.form.getlist("scopes"), request.form.get("user", "").strip() or None
    try:
        name = typed.line("name", "a name", MAX_NAME)
        api_keys.check_scopes(scopes)
        key, text = keys.create(caller(), name=name, user=user, scopes=scopes, naming=_naming())
    except (BadInput, Forbidden) as error:
        return _form(error)
    return page("keys/created.html", title="The new key", key=key, text=text)


@blp.get("/keys/<key_id>/revoke")
@needs(KEYS)
def ask_to_revoke(key_id: str) -> Response:
    """What ends with the key."""
    me, key = caller(), keys.find(caller(), key_id)
    may = keys.may_revoke(me, key)
    return page("keys/revoke.html", title="Revoke a key", key=key, may_revoke=may, is_own=key.id == me.key_id)


@blp.post("/keys/<key_id>/revoke")
@needs(KEYS)
def revoke_key(key_id: str) -> Response:
    """Revoke it."""
    key = keys.revoke(caller(), key_id)
    return done("dashboard.keys.list_keys", f"The key {key.prefix} ({key.name}) is revoked.")


def _form(error: BadInput | Forbidden | None = None) -> Response:
    me = caller()
    return page(
        "keys/form.html",
        status=200 if error is None else error.status,
        title="New key",
        fault=error,
        typed=request.form,
        chosen=request.form.getlist("scopes") if error else ["jobs:read", "jobs:write"],
        scopes={scope: MEANINGS[scope] for scope in keys.grantable(me)},
        may_choose_user=me.may(ADMIN),
        once=secrets.token_urlsafe(16),
        most=MAX_NAME,
    )


def _naming() -> Naming:
    """By what the key is made, and found again when the same form comes twice."""
    asked = {name: request.form.getlist(name) for name in ("once", "name", "user", "scopes")}
    content = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    return Naming(cast(str, cookie.token()), content)
