"""Whose work a task does: the request, tenant, user and job of the lines that are written meanwhile.

A message carries them from where it was sent, in a header. A slice knows better: see `tasks.slice`.
"""

from typing import Any

import structlog
from celery.signals import before_task_publish, task_postrun, task_prerun

HEADER = "penstock_log"
CARRIED = ("request_id", "trace_id", "tenant", "user", "job")


def install() -> None:
    """Have every message of this process carry it, and every task bind it."""
    before_task_publish.connect(_carry)
    task_prerun.connect(_bind)
    task_postrun.connect(_forget)


def _carry(headers: dict[str, Any], **_: Any) -> None:
    bound = structlog.contextvars.get_contextvars()
    if carried := {name: bound[name] for name in CARRIED if bound.get(name) is not None}:
        headers[HEADER] = carried


def _bind(task: Any, **_: Any) -> None:
    """What is not as we send it was sent by somebody else, and is left out."""
    structlog.contextvars.clear_contextvars()
    carried = task.request.get(HEADER)
    known = carried if isinstance(carried, dict) else {}
    bound = {name: known[name] for name in CARRIED if isinstance(known.get(name), str)}
    structlog.contextvars.bind_contextvars(task=task.name, **bound)


def _forget(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()
