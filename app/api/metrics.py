"""`GET /metrics`, for Prometheus: the state of the whole system, and the requests to this web process."""

import http
import re
import time

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from app.core.accounts.api_keys import METRICS
from app.core.monitoring.collector import System
from app.core.monitoring.metrics import BATCH_REQUESTS, BATCH_SECONDS, HTTP_SECONDS
from app.errors import NotFound
from app.web.auth import needs_from_afar
from config import settings

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # seconds; a wait may be 60
BATCHES = "/api/batch-processor/"
NO_ROUTE = "none"  # requests without a route get no label that a caller can choose

_CONVERTER = re.compile(r"<\w+:")  # `<job:job_id>` is `<job_id>` to whoever reads a label

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
    seconds = Histogram(
        HTTP_SECONDS.name, HTTP_SECONDS.meaning, HTTP_SECONDS.labels, buckets=BUCKETS, registry=registry
    )
    batch_requests = Counter(BATCH_REQUESTS.name, BATCH_REQUESTS.meaning, registry=registry)
    batch_seconds = Histogram(BATCH_SECONDS.name, BATCH_SECONDS.meaning, buckets=BUCKETS, registry=registry)
    app.extensions["metrics"] = registry

    def note(response: Response) -> Response:
        if response.status_code == http.HTTPStatus.CONTINUE:
            return response  # to a question about a body: the request itself comes with it
        rule = request.url_rule
        route, method = (_CONVERTER.sub("<", rule.rule), request.method) if rule else (NO_ROUTE,) * 2
        took = time.perf_counter() - g.began
        seconds.labels(route, method, response.status_code).observe(took)
        if request.path.startswith(BATCHES):
            batch_requests.inc()
            batch_seconds.observe(took)
        return response

    app.before_request(_begin)
    app.after_request(note)


def _begin() -> None:
    g.began = time.perf_counter()
