"""The web application."""

import gc
import re
import signal
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from apispec.ext.marshmallow.common import resolve_schema_cls
from flask import Flask, Response
from flask_cors import CORS
from flask_smorest import Api

from app.api import (
    audit,
    docs,
    events,
    jobs,
    keys,
    limits,
    me,
    metrics,
    probes,
    prompt_overrides,
    quotes,
    records,
    results,
    submissions,
    usage,
)
from app.api.webhooks import deliveries as webhook_deliveries
from app.api.webhooks import endpoints as webhooks
from app.core.monitoring.broker import check_redis
from app.core.reading.feed import feed
from app.core.reading.job_json import PREFIX
from app.core.tracing import traces
from app.dashboard import routes as dashboard
from app.dialects import processor
from app.dialects.analyze import routes as analyze
from app.dialects.anthropic import routes as anthropic
from app.dialects.calls import completions, messages, models
from app.dialects.chats import routes as chats
from app.dialects.documents import routes as documents
from app.dialects.openai import routes as openai
from app.dialects.text import routes as text
from app.dialects.webhook_endpoints import routes as webhook_endpoints
from app.web import (
    auth,
    bodies,
    capacity,
    errors,
    job_lookup,
    large_bodies,
    observing,
    openapi,
    websockets,
)
from app.web.errors import SHAPES, ErrorOut
from app.web.results.downloads import WARNING
from app.web.spooling import SpoolingRequest
from config import logs, private, settings

NATIVE = (
    submissions, quotes, jobs, records, results, events, limits, usage, audit, me, keys,
    prompt_overrides, webhooks, webhook_deliveries, probes,
)  # fmt: skip
# Each has `blp`, its path PREFIXES, and in `wire.error` the shape of errors under them.
DIALECTS = (text, analyze, documents, chats, anthropic, openai, webhook_endpoints)
# One API each: `blp`, its path PREFIXES, and `error`, the shape of errors under them.
CALLS = (messages, completions, models)
# Response headers that a page may read.
EXPOSED = (
    job_lookup.JOB,
    WARNING,
    bodies.IGNORED,
    "Location",
    "Retry-After",
    "X-Request-Id",
    "Request-Id",
)

_DIALECT = re.compile(r"app\.dialects\.(\w+)\.")


class Penstock(Flask):
    request_class = SpoolingRequest


class Contract(Api):
    """The native contract and its OpenAPI document.

    The document is put together when somebody asks for it: that takes longer than the rest of a start.
    """

    ERROR_SCHEMA = ErrorOut

    def __init__(self, *args: Any, **options: Any) -> None:
        self._undescribed: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        super().__init__(*args, **options)

    def describe_later(self, describe: Callable[[], None]) -> None:
        self._undescribed.append(describe)

    def _openapi_json(self) -> Response:
        with self._lock:
            while self._undescribed:
                self._undescribed.pop(0)()
        return cast(Response, super()._openapi_json())

    def _register_error_handlers(self) -> None:
        """`app.web.errors` handles errors, for all contracts alike."""


def create_app() -> Flask:
    """The application, as gunicorn serves it.

    Raises `BadSetting` for an invalid environment, and `Unavailable` for a Redis that refuses it; without
    Redis jobs are accepted all the same.
    """
    chosen = settings.current()
    logs.configure(chosen.log_level, chosen.log_format)
    private.keep(chosen)
    check_redis()
    traces.start("web")
    for folder in filter(None, (chosen.data, chosen.status_files)):
        folder.mkdir(parents=True, exist_ok=True)
    app = Penstock(__name__, static_folder=None)
    app.config.update(_config())
    app.url_map.strict_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    metrics.measure(app)
    errors.register(app)
    observing.register(app)
    job_lookup.register(app)
    auth.guard(app, dashboard.SIGNED_IN)
    large_bodies.check(app)
    if chosen.cors_origins:
        CORS(app, origins=[_exactly(origin) for origin in chosen.cors_origins], expose_headers=EXPOSED)
    capacity.prepare(app, chosen.web_threads)
    _register(app)
    _end_streams_on_sigterm()
    _keep_what_is_loaded()
    return app


def _register(app: Flask) -> None:
    schemas = openapi.Plugin(schema_name_resolver=_schema_name)
    api = Contract(app, spec_kwargs={"marshmallow_plugin": schemas})
    for module in NATIVE:
        api.register_blueprint(module.blp)
    for dialect in DIALECTS:
        api.register_blueprint(dialect.blp)
        SHAPES.update(dict.fromkeys(dialect.PREFIXES, dialect.wire.error))
    for called in CALLS:
        api.register_blueprint(called.blp)
        SHAPES.update(dict.fromkeys(called.PREFIXES, called.error))
    api.register_blueprint(probes.root)
    app.register_blueprint(metrics.unprefixed)
    app.register_blueprint(docs.home)
    app.register_blueprint(docs.blp)
    processor.register(app, api)
    dashboard.register(app)
    auth.mark_public(app, "api-docs.openapi_json")
    app.add_url_rule("/openapi.json", view_func=app.view_functions["api-docs.openapi_json"])


def _exactly(origin: str) -> re.Pattern[str]:
    """flask-cors takes text with brackets or stars for a pattern, and anchors none at its end."""
    return re.compile(re.escape(origin) + r"\Z")


def _schema_name(schema: Any) -> str:
    """A schema's name in the OpenAPI document; dialects have bodies of the same name."""
    kind = cast(type, resolve_schema_cls(schema))
    found = _DIALECT.match(kind.__module__)
    return kind.__name__ if found is None else f"{found[1].title()}{kind.__name__}"


def _config() -> dict[str, Any]:
    return {
        "MAX_CONTENT_LENGTH": large_bodies.BODY,
        "SOCK_SERVER_OPTIONS": websockets.OPTIONS,
        "API_TITLE": "Penstock",
        "API_VERSION": "v1",
        "OPENAPI_VERSION": "3.1.0",
        "OPENAPI_URL_PREFIX": PREFIX,
        "OPENAPI_JSON_PATH": "openapi.json",
        "API_SPEC_OPTIONS": {
            "info": {"description": "Batches of records, answered by a language model."},
            "components": {"securitySchemes": auth.SECURITY_SCHEMES},
            "security": [{name: []} for name in auth.SECURITY_SCHEMES],
            "servers": [{"url": "/", "description": "The server that this document comes from."}],
        },
    }


@cache
def _keep_what_is_loaded() -> None:
    """Collections of garbage need not look at it again. Each large dict brings some about: a row of 8,000
    cells is JSON in 0.8 ms with this, and in 5.6 ms without.
    """
    gc.freeze()


def _end_streams_on_sigterm() -> None:
    """A stopping server waits for its requests, but an event stream lasts as long as its job."""
    if threading.current_thread() is not threading.main_thread():
        return
    earlier = signal.getsignal(signal.SIGTERM)
    if not callable(earlier):
        return  # no server wants to be notified

    def end(number: int, frame: Any) -> None:
        feed().stop()
        earlier(number, frame)

    signal.signal(signal.SIGTERM, end)
