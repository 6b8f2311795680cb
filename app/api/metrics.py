"""`GET /metrics`, for Prometheus: how the whole system stands and what it has counted."""

import http
import time

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from app.core.accounts.api_keys import METRICS
from app.core.measures import metrics
from app.core.measures.counts import counts
from app.core.monitoring.collector import System
from app.errors import NotFound
from app.web.auth import needs_from_afar
from app.web.observing import route_name
from config import settings

BATCHES = "/api/batch-processor/"

unprefixed = Blueprint("metrics", __name__)


@unprefixed.get("/metrics")
@needs_from_afar(METRICS)
def get_metrics() -> Response:
    if not settings.current().enable_monitoring:
        raise NotFound("monitoring is switched off: ENABLE_MONITORING is false")
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(current_app.extensions["metrics"]), content_type=content_type)


def measure(app: Flask) -> None:
    """Measure every request to `app`. Must come before everything else that handles requests."""
    registry = CollectorRegistry()
    registry.register(System())
    ProcessCollector(registry=registry)
    app.extensions["metrics"] = registry
    app.before_request(_begin)
    app.after_request(_note)


def _begin() -> None:
    g.began = time.perf_counter()


def _note(response: Response) -> Response:
    if response.status_code == http.HTTPStatus.CONTINUE:
        return response  # to a question about a body: the request itself comes with it
    name = route_name()
    route, method = (name, request.method) if name else (metrics.NO_ROUTE,) * 2
    took = time.perf_counter() - g.began
    counts.observe(metrics.HTTP_SECONDS, took, route, method, str(response.status_code))
    if request.path.startswith(BATCHES):
        counts.add(metrics.BATCH_REQUESTS)
        counts.observe(metrics.BATCH_SECONDS, took)
    return response
