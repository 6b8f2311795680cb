"""How long messages wait in their queue, for the metrics."""

import time
from typing import Any

from celery.signals import before_task_publish, task_prerun

from app.core.measures import metrics
from app.core.measures.counts import counts

SENT_AT = "penstock_sent_at"  # header of a message: seconds since 1970, by the sender's clock


def install() -> None:
    """Measure what this process sends and takes."""
    before_task_publish.connect(_stamp)
    task_prerun.connect(_observe)


def _stamp(headers: dict[str, Any], **_: Any) -> None:
    headers[SENT_AT] = time.time()


def _observe(task: Any, **_: Any) -> None:
    """Clocks of two machines may differ: a wait is never below zero. Others may have sent anything.

    What a killed worker had taken comes again after the visibility timeout, long after its records went on.
    """
    delivery, sent_at = task.request.delivery_info or {}, task.request.get(SENT_AT)
    queue = delivery.get("routing_key")
    if isinstance(sent_at, int | float) and isinstance(queue, str) and not delivery.get("redelivered"):
        counts.observe(metrics.QUEUE_SECONDS, max(0.0, time.time() - sent_at), queue)
