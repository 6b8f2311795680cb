"""Forms of other pages are refused: a form must come from our own origin and with its browser's token."""

import hmac

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from app.dashboard import cookie
from app.errors import Forbidden, TooLarge
from app.web import large_bodies
from app.web.capacity import enough_memory
from app.web.large_bodies import FIELDS
from config import settings

FIELD, HEADER = "csrf_token", "X-CSRF-Token"
MOST_FIELDS = 5_000  # of a form; the largest of ours names a thousand jobs
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def check() -> None:
    """Raise `Forbidden` for a request that changes something and is not from one of our forms."""
    if request.method in SAFE or large_bodies.is_a_question():
        return
    if not _is_same_origin():
        raise Forbidden("the form comes from another page: open this page anew, and send it from there")
    text = cookie.token()
    if text is None or not hmac.compare_digest(cookie.form_token(text).encode(), _sent().encode()):
        raise Forbidden(
            "the form is out of date, or its browser accepts no cookies: go back, load the page again and"
            " send it once more; what you typed is kept where the page says so"
        )


def _is_same_origin() -> bool:
    """By what the browser says of it; a program that says nothing of it knows the token, or not."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or origin.lower().partition("://")[2] == request.host.lower()


def _sent() -> str:
    limit, chosen = large_bodies.limit(), settings.current()
    request.max_content_length = limit.bytes(chosen)
    request.max_form_memory_size = chosen.max_json_bytes
    try:
        if request.mimetype == FIELDS:
            _read_fields()
        return request.headers.get(HEADER) or request.form.get(FIELD, "")
    except RequestEntityTooLarge:
        raise TooLarge(
            f"what was sent has over {limit.bytes(chosen):,} bytes ({limit.name}), or its texts over"
            f" {chosen.max_json_bytes:,} (MAX_JSON_BYTES): send less at once"
        ) from None


def _read_fields() -> None:
    """Fields take many times their size while they are read: two bytes can be one, `%41` takes sixty."""
    body = request.get_data()
    if (count := body.count(b"&") + 1) > MOST_FIELDS:
        raise TooLarge(
            f"the form has {count:,} fields, and at most {MOST_FIELDS:,} are taken: send less at once"
        )
    with enough_memory(len(body)):
        _ = request.form
