"""How a worker describes itself to an operator (`penstock doctor`)."""

import time
from importlib.metadata import version
from typing import Any

from celery.worker.control import inspect_command

from app.providers import registry
from config import settings

COMMAND = "penstock_tell"


@inspect_command(name=COMMAND)
def describe(state: Any) -> dict[str, Any]:
    """The worker's clock, release, queues, kind of pool, and the providers that it could ask."""
    consumer = state.consumer
    return {
        "time": time.time(),
        "version": version("penstock"),
        "queues": sorted(queue.name for queue in consumer.task_consumer.queues),
        "pool": type(consumer.pool).__module__,
        "providers": [provider.name for provider in registry.ready(settings.current())],
    }
