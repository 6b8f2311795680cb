"""What every page is made with: its frame, its headers, its way back, and errors as pages."""

import secrets
from functools import partial
from typing import Any, cast
from urllib.parse import quote, urlsplit

from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for
from markupsafe import Markup

from app.core.accounts import browser_sessions
from app.dashboard import assets, cookie, csrf, filters, navigation, session
from app.errors import BadInput
from app.web.auth import caller
from app.web.error_shapes import Fault
from models.session import in_transaction

PREFIX = "/ui"
NAME = "dashboard"
POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}'; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
SIGN_IN = f"{PREFIX}/sign-in"

blp = Blueprint(NAME, __name__, url_prefix=PREFIX, template_folder="templates")
blp.before_request(csrf.check)


def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """A page, or a fragment of one, from a template of ours.

    Besides `values` templates have `me` (the caller, or None), `asset()`, `csrf()` and `hx`, see `_common`.
    """
    nonce = g.setdefault("nonce", secrets.token_urlsafe(16))
    response = make_response(render_template(template, **_common(nonce), **values), status)
    response.headers["Content-Security-Policy"] = POLICY.format(nonce=nonce)
    # With `no-referrer` browsers would send no origin with our own forms.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


def fragment(template: str, **values: Any) -> str:
    """HTML for a region of a page that is live: it holds no hx-… attributes, plain links and forms alone."""
    return render_template(template, **_common(""), **values)


def done(endpoint: str, notice: str | None = None, **values: Any) -> Response:
    """Back to a page after a form, which tells `notice` once."""
    if notice is not None and (text := cookie.token()) is not None:
        in_transaction(partial(browser_sessions.leave_notice, token=text, text=notice))
    return cast(Response, redirect(url_for(endpoint, **values), 303))


def is_htmx() -> bool:
    """Whether a part of a page is asked for, to be put into one that is there."""
    return request.headers.get("HX-Request") == "true"


def problems_of(error: BadInput) -> list[dict[str, Any]]:
    """The faults of an input, each with `where` and `message`."""
    return cast(list[dict[str, Any]], error.details.get("problems", []))


def write_error(fault: Fault) -> Response:
    """An error as a page, or as a part of one; who has to sign in is led there."""
    if fault.status == 401:
        return _to_sign_in()
    template = "error_part.html" if is_htmx() else "error.html"
    response = page(template, status=fault.status, fault=fault, problems=fault.details.get("problems", []))
    if is_htmx():
        # Not in the place of the region that was asked for: the next time it is asked for, it must be there.
        response.headers |= {"HX-Retarget": "#problem", "HX-Reswap": "innerHTML show:top"}
    return response


def _to_sign_in() -> Response:
    """And from there back to the page that is looked at, whatever part of it was asked for."""
    is_page = request.method == "GET" and not is_htmx()
    there = request.full_path.rstrip("?") if is_page else _page_before()
    way = SIGN_IN if there == PREFIX else f"{SIGN_IN}?next={quote(there, safe='')}"
    if is_htmx():
        return Response(status=401, headers={"HX-Redirect": way})
    if is_page:
        return cast(Response, redirect(way, 303))
    return page("signed_out.html", status=401, way=way, typed=_typed())


def _page_before() -> str:
    """The path of the page that a request comes from."""
    before = urlsplit(request.referrer or "")
    is_ours = before.netloc == request.host and before.path.startswith(f"{PREFIX}/")
    return (f"{before.path}?{before.query}" if before.query else before.path) if is_ours else PREFIX


def _typed() -> list[str]:
    """The texts of a form that came too late: they can be copied from the page that says so."""
    return [text for name, text in request.form.items() if name != csrf.FIELD and len(text.split()) > 1]


def _common(nonce: str) -> dict[str, Any]:
    """What all templates have."""
    me = g.get("caller")
    return {
        "me": me,
        "places": navigation.places(me) if me is not None else [],
        "links": navigation.links(),
        "here": navigation.current(request.path),
        "notice": session.notice() if nonce and not is_htmx() else None,
        "asset": _asset,
        "csrf": _csrf_field,
        "csrf_token": _csrf_token,
        "nonce": nonce,
        # htmx obeys an element only with it: what somebody wrote into a record is no element of ours.
        "hx": Markup(f'hx-nonce="{nonce}"'),  # noqa: S704 - letters and digits
        "may": _may,
    }


def _asset(name: str) -> str:
    return f"{PREFIX}/assets/{assets.hashed_name(name)}"


def _csrf_token() -> str:
    """The token of this browser's forms; who has no cookie yet gets one with the response."""
    text = cookie.token() or g.setdefault("visitor_token", cookie.new_token())
    return cookie.form_token(text)


def _csrf_field() -> Markup:
    return Markup('<input type="hidden" name="{}" value="{}">').format(csrf.FIELD, _csrf_token())


def _may(scope: str) -> bool:
    return "caller" in g and caller().may(scope)


@blp.after_request
def _give_visitor_cookie(response: Response) -> Response:
    if "visitor_token" in g:
        cookie.give(response, g.visitor_token)
    return response


for _name, _filter in filters.ALL.items():
    blp.add_app_template_filter(_filter, _name)
