"""Signing in with an API key, or once with the link that `penstock up` prints; and signing out."""

import ipaddress
from functools import partial
from typing import cast

from flask import Blueprint, Response, redirect, request

from app.core.accounts import browser_sessions
from app.core.accounts.browser_sessions import LASTS, Holder
from app.dashboard import cookie
from app.dashboard.blueprint import PREFIX, page
from app.dashboard.session import holder_of, identify
from app.errors import Forbidden, Unauthenticated
from app.web import auth, strangers
from app.web.auth import needs, public
from config import settings
from models.session import in_transaction

LONGEST_KEY = 500  # characters

blp = Blueprint("sign_in", __name__)


@blp.get("/sign-in")
@public()
def show_sign_in() -> Response:
    """The form for the key."""
    return _form()


@blp.post("/sign-in")
@public()
def sign_in() -> Response:
    """Begin a session with the key, or without one where none is required."""
    text = request.form.get("key", "").strip()[:LONGEST_KEY]
    if not text and settings.current().require_api_key:
        return _form("Paste an API key: it begins with pk_.", status=422)
    try:
        holder = holder_of(text) if text else _nobody()
    except Unauthenticated as error:
        return _form(error.message, status=401)
    begin = partial(browser_sessions.begin, holder=holder, before=cookie.token())
    return _signed_in(in_transaction(begin), _next())


@blp.get("/enter")
@public()
def enter() -> Response:
    """Sign in with the link, from this machine alone."""
    if not _is_local():
        raise Forbidden("this link signs in on the machine that runs Penstock alone: sign in with an API key")
    if request.method == "HEAD":
        return _form()  # who only looks where a link leads does not use it up
    accept = partial(browser_sessions.accept, token=request.args.get("token", ""), before=cookie.token())
    session = in_transaction(accept)
    if session is None and _has_session():
        return cast(Response, redirect(PREFIX, 303))  # it was used by this browser, as before a reload
    if session is None:
        return _form(
            "The link was used already, or is over a minute old: paste the API key instead. Its file is named"
            " where `make up` printed the link.",
            status=401,
        )
    return _signed_in(session, PREFIX)


@blp.post("/sign-out")
@needs(None)
def sign_out() -> Response:
    """End the session: its cookie opens nothing any more, wherever it is."""
    in_transaction(partial(browser_sessions.end, token=cast(str, cookie.token())))
    response = cast(Response, redirect(f"{PREFIX}/sign-in", 303))
    cookie.take(response)
    return response


def _form(fault: str | None = None, *, status: int = 200) -> Response:
    required = settings.current().require_api_key
    return page("sign_in.html", status=status, fault=fault, next=_next(), is_key_required=required)


def _signed_in(token: str, way: str) -> Response:
    """A new token: whoever knew the old one has no part in the session."""
    response = cast(Response, redirect(way, 303))
    cookie.give(response, token, LASTS)
    return response


def _has_session() -> bool:
    try:
        identify()
    except Unauthenticated:
        return False
    return True


def _nobody() -> Holder:
    auth.nobody()
    return Holder()


def _next() -> str:
    """Where to go after signing in: only to a page of ours."""
    way = request.values.get("next", "")
    is_ours = way == PREFIX or way.startswith((f"{PREFIX}/", f"{PREFIX}?"))
    return way if is_ours and "\\" not in way and way.isprintable() else PREFIX


def _is_local() -> bool:
    """Whether the request comes directly from this machine, and under one of its own names."""
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback and auth.is_direct() and strangers.is_trusted()
