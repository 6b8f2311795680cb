"""The caller's batches, now and over time; with the scope `operator`, those of the whole system."""

from typing import Any

from app.core.accounts.api_keys import OPERATOR, READ
from app.core.monitoring import analytics, performance
from app.dialects.processor import wire
from app.dialects.processor.inputs import AnalyticsQuery
from app.dialects.processor.outputs import AnalyticsOut, ErrorOut, MetricsOut
from app.dialects.processor.routes import PREFIX
from app.errors import NotFound
from app.web.auth import caller, needs
from app.web.blueprint import Blueprint
from config import settings
from models.session import reading

blp = Blueprint(
    "batch processor monitoring",
    __name__,
    errors=ErrorOut,
    lenient=True,
    url_prefix=PREFIX,
    description="How the batches are doing.",
)


@blp.route("/metrics", methods=["GET"])
@needs(READ, 404)
@blp.response(200, MetricsOut)
def get_metrics() -> dict[str, Any]:
    """Get metrics: rates over the last minute, means over the last hour, totals counted since the start."""
    from app.core.monitoring import resources  # psutil: not needed at startup

    _refuse_unmonitored()
    with reading() as session:
        found = performance.read(session, _whose())
    return wire.metrics(found, resources.group().sample())


@blp.route("/analytics", methods=["GET"])
@needs(READ, 404)
@blp.arguments(AnalyticsQuery, location="query")
@blp.response(200, AnalyticsOut)
def get_analytics(query: dict[str, Any]) -> dict[str, Any]:
    """Get history: throughput (records per second), latency (ms), errors, queue, tokens, cost (USD)."""
    _refuse_unmonitored()
    with reading() as session:
        series = analytics.read(session, _whose(), query["period"], query["metrics"])
    return wire.analytics(query["period"], series)


def _whose() -> int | None:
    """The tenant to report on; None: all tenants."""
    return None if caller().may(OPERATOR) else caller().tenant_id


def _refuse_unmonitored() -> None:
    if not settings.current().enable_monitoring:
        raise NotFound("monitoring is switched off: ENABLE_MONITORING is false")
