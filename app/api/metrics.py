"""`GET /metrics`, for Prometheus: how the whole system stands, and the requests to this web process."""

import time

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from app.auth import needs_from_afar
from app.core.keys import METRICS
from app.core.measures import System
from app.core.metrics import HTTP_SECONDS

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # seconds; a wait may be 60
NO_ROUTE = "none"  # what nobody can reach gets no label of a caller's choice

unprefixed = Blueprint("metrics", __name__)


@unprefixed.get("/metrics")
@needs_from_afar(METRICS)
def get_metrics() -> Response:
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(current_app.extensions["metrics"]), content_type=content_type)


def measure(app: Flask) -> None:
    """Measure every request of `app`. Comes before all else that looks at requests."""
    registry = CollectorRegistry()
    registry.register(System())
    ProcessCollector(registry=registry)
    seconds = Histogram(
        HTTP_SECONDS.name, HTTP_SECONDS.meaning, HTTP_SECONDS.labels, buckets=BUCKETS, registry=registry
    )
    app.extensions["metrics"] = registry

    def note(response: Response) -> Response:
        route, method = (request.url_rule.rule, request.method) if request.url_rule else (NO_ROUTE,) * 2
        seconds.labels(route, method, response.status_code).observe(time.perf_counter() - g.began)
        return response

    app.before_request(_begin)
    app.after_request(note)


def _begin() -> None:
    g.began = time.perf_counter()
