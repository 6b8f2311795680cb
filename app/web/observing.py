"""How a request is named to those who watch, and its span, where traces are on."""

import re

from flask import Flask, Response, g, request

from app.core.tracing import traces

QUIET = ("/health", "/ready", "/metrics")  # requests for these have no span
ASSETS = "/ui/assets/"  # nor for what is below

_CONVERTER = re.compile(r"<\w+:")


def route_name() -> str | None:
    """The route without kinds: `<job:job_id>` is `<job_id>`. None: nothing that a caller can choose."""
    return _CONVERTER.sub("<", request.url_rule.rule) if request.url_rule else None


def register(app: Flask) -> None:
    """Give each request a span. To be called after `errors.register`, which empties what log lines name."""
    if not traces.is_on():
        return
    app.before_request(_begin)
    app.after_request(_note)
    app.teardown_request(_end)


def _begin() -> None:
    if request.path.endswith(QUIET) or request.path.startswith(ASSETS):
        return
    headers = {name.lower(): value for name, value in request.headers}
    url = (request.scheme, request.path)
    g.span, g.status = traces.begin_request(request.method, route_name(), url, headers), None


def _note(response: Response) -> Response:
    g.status = response.status_code
    return response


def _end(_: BaseException | None) -> None:
    span = g.pop("span", None)
    if span is None:
        return
    if g.status == 100:  # to a question about a body: the request itself comes with it
        span.drop()
        return
    facts = {"penstock.request.id": g.request_id}
    if "caller" in g:
        facts["penstock.tenant"] = g.caller.tenant
    if "job_uid" in g:
        facts["penstock.job.id"] = str(g.job_uid)
    span.end(g.status, facts)
