"""Bodies too large to be read for anybody: who may send one, and how large.

The web server (`app/server`) reads small bodies itself. Before it reads a larger one it asks with the head
alone: such a request goes through everything that needs no body, and the answer is a refusal, or `100
Continue`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, g, request

from app.errors import TooLarge, Unavailable, UnknownForm
from app.web.auth import caller
from config import settings
from config.settings import Settings

# In the environ of a question about a head: called with the tenant's number, it takes room for the body and
# returns whether there is any.
ROOM = "penstock.room"
BODY = 1_000_000  # bytes of a body, unless its view takes more
FORM_MARGIN = 20_000_000  # bytes of an upload besides its file
JSON, FORM = "application/json", "multipart/form-data"
FIELDS = "application/x-www-form-urlencoded"

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Limit:
    """`name` is the variable that an operator can raise; `bytes` reads it, with what belongs to it."""

    name: str
    bytes: Callable[[Settings], int]


ANY = Limit("not a setting", lambda _: BODY)  # of views that take no large bodies
PLAIN = Limit("MAX_JSON_BYTES", lambda chosen: chosen.max_json_bytes)
WITH_DOCUMENTS = Limit(
    "MAX_REQUEST_BYTES", lambda chosen: max(chosen.max_request_bytes, chosen.max_json_bytes)
)
UPLOAD = Limit("MAX_UPLOAD_BYTES", lambda chosen: chosen.max_upload_bytes + FORM_MARGIN)


def takes(limits: Mapping[str, Limit]) -> Callable[[View], View]:
    """Mark a view as taking large bodies: of these content types, up to so many bytes."""

    def mark(view: View) -> View:
        view.body_limits = limits  # type: ignore[attr-defined]
        return view

    return mark


def check(app: Flask) -> None:
    """Answer the server's questions; keys are checked before."""
    app.before_request(_answer)


def is_a_question() -> bool:
    """Whether the request is only a question about its body, which may come yet."""
    return ROOM in request.environ


def _answer() -> Response | None:
    if not is_a_question():
        return None
    if request.routing_exception is not None:
        raise request.routing_exception
    if "caller" not in g:
        raise TooLarge("without a key no large body is taken here: send a smaller one, or none")
    _check_size()
    if not request.environ[ROOM](caller().tenant_id):
        raise Unavailable(
            "your tenant, or all tenants together, are sending as much as is taken at once: try again when"
            " other requests have ended",
            retry_after=5,
        )
    return Response(status=100)


def _check_size() -> None:
    allowed, size = limit(), request.content_length or 0
    most = allowed.bytes(settings.current())
    if size > most:
        raise TooLarge(
            f"{request.method} {request.path} takes up to {most:,} bytes ({allowed.name}), and the request"
            f" has {size:,}: send less at once"
        )


def limit() -> Limit:
    """How much the view takes of the request's content type; raises `UnknownForm`."""
    view = current_app.view_functions[cast(str, request.endpoint)]
    limits: Mapping[str, Limit] | None = getattr(view, "body_limits", None)
    if limits is None:
        return ANY
    kind = JSON if request.is_json else request.mimetype
    if kind not in limits:
        raise UnknownForm(f"send {' or '.join(limits)}; found {request.mimetype or 'no content type'}")
    return limits[kind]
