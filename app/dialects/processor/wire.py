"""The batch processor's terms for ours, both ways. Independent of HTTP and the database."""

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.core.json_text import text, timestamp
from app.core.monitoring.analytics import Point
from app.core.monitoring.performance import Performance
from app.core.monitoring.resources import Resources
from app.core.pipeline.batch_settings import Configuration
from app.core.reading.answers import answer_text, reason
from app.core.reading.forecast import Forecast
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.dialects.processor import models, time_limits
from app.errors import BadInput
from app.ingest.draft import Problems
from app.web.error_shapes import Fault
from models.job import JobStatus
from models.record import RecordStatus

KINDS = ("prompt", "messages", "input")  # an item has exactly one of them
READ = frozenset({*KINDS, "request_id"})  # the fields of an item that have an effect
URGENCIES = ("critical", "high", "normal", "low")
WORDS = ("queued", "processing", "completed", "failed", "cancelled")

_OF_STATUS = {
    JobStatus.PENDING: "queued",
    JobStatus.RUNNING: "processing",
    JobStatus.PAUSED: "processing",
    JobStatus.CANCELLING: "processing",
    JobStatus.CANCELLED: "cancelled",
    JobStatus.FAILED: "failed",
}
_ROUNDING = 1e-3  # how far the sum of a probability vector may be off 1
_REQUEST_ID = re.compile(r"[^\0\ud800-\udfff]{1,256}")


# --- requests


def records(data: Sequence[Any], problems: Problems) -> list[dict[str, Any]]:
    """The batch's items as records of the native contract; invalid ones are left out and listed."""
    taken: dict[str, int] = {}
    found = []
    for number, item in enumerate(data):
        record = _record(item, number, problems)
        if record is None:
            continue
        first = taken.setdefault(record["custom_id"], number)
        if first != number:
            where = f"data[{number}].request_id"
            problems.add(where, f"{record['custom_id']!r} is already the id of data[{first}]")
            continue
        found.append(record)
    return found


def unused(data: Sequence[Any]) -> Iterator[str]:
    """The fields of items that have no effect; an item may have any."""
    for item in data:
        if isinstance(item, dict):
            yield from (f"data[].{name}" for name in item if name not in READ)


def kind(records: Iterable[Mapping[str, Any]]) -> str:
    """The kind of model: an inference server for `input`, a language model for `prompt`.

    Raises `BadInput` for a batch that needs both.
    """
    kinds = {"input" if "input" in record else "prompt" for record in records}
    if len(kinds) > 1:
        raise BadInput("data: either all items have an `input` or none: send each kind as a batch of its own")
    return kinds.pop()


def _record(item: Any, number: int, problems: Problems) -> dict[str, Any] | None:
    where = f"data[{number}]"
    if not isinstance(item, dict):
        problems.add(where, "an item must be an object")
        return None
    brought = [name for name in KINDS if name in item]
    if len(brought) != 1:
        problems.add(where, f"give exactly one of prompt, messages and input; found {_listed(item)}")
        return None
    request_id = item.get("request_id")
    if request_id is None:
        request_id = f"req_{number + 1}"
    elif not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        problems.add(f"{where}.request_id", "give a string of 1 to 256 characters")
        return None
    return {"custom_id": request_id, brought[0]: item[brought[0]]}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name[:60]) for name in list(names)[:8]) or "nothing"


# --- responses


def word(view: JobView) -> str:
    """The batch's status."""
    if view.status in (JobStatus.COMPLETED, JobStatus.EXPIRED):
        return "completed" if view.counts.succeeded else "failed"
    return _OF_STATUS[view.status]


def batch_id(view: JobView) -> str:
    """The caller's own name for it, if it has one."""
    return view.label or str(view.uid)


def submitted(view: JobView, position: int, expected: Forecast) -> dict[str, Any]:
    """The response to a submission, which queued it, whatever has become of it since."""
    warnings = [told for told in (models.warning(view), time_limits.warning(expected)) if told]
    return {
        "batch_id": batch_id(view),
        "status": "queued",
        "estimated_completion_time": timestamp(expected.end),
        "queue_position": position,
        "request_count": view.total,
        **({"warning": " ".join(warnings)} if warnings else {}),
    }


def status(view: JobView, end: dt.datetime, at: dt.datetime) -> dict[str, Any]:
    """The batch's state at the time `at`; `end` is when it ended, or is expected to."""
    return {
        "batch_id": batch_id(view),
        "status": word(view),
        "progress": _progress(view),
        "completed_requests": _ended(view),
        "failed_requests": view.counts.unanswered,
        "total_requests": view.total,
        "estimated_completion_time": timestamp(end),
        "processing_time_ms": _processing_ms(view, at),
        **_error(view),
    }


def listed(view: JobView, configuration: Configuration) -> dict[str, Any]:
    return {
        "batch_id": batch_id(view),
        "status": word(view),
        "priority": view.urgency or _nearest(view.priority, configuration),
        "request_count": view.total,
        "completed_requests": _ended(view),
        "created_at": timestamp(view.created_at),
    }


def update(view: JobView, asked_for: str) -> dict[str, Any]:
    """A WebSocket message, under the id that its reader used."""
    ended = {} if view.ended_at is None else {"total_time_ms": _ms(view.created_at, view.ended_at)}
    return {"batch_id": asked_for, "status": word(view), "progress": _progress(view), **ended, **_error(view)}


def not_found(asked_for: str) -> dict[str, Any]:
    return {"batch_id": asked_for, "status": "not_found", "progress": 0}


def result(record: RecordView, view: JobView) -> dict[str, Any]:
    """The result of one item; an output that was invented says so."""
    answer = record.answer if record.status is RecordStatus.SUCCEEDED else None
    output, confidence = (None, None) if answer is None else _output(answer)
    error = dict(zip(("type", "message"), reason(record), strict=True))
    return {
        "request_id": text(record.custom_id) or f"req_{record.idx + 1}",
        "output": output,
        "confidence": confidence,
        "processing_time_ms": record.latency_ms,
        "error": None if answer is not None else error,
        **({"simulated": True} if output is not None and models.is_simulated(view) else {}),
    }


def results_metadata(view: JobView, at: dt.datetime) -> dict[str, Any]:
    took, warning = _processing_ms(view, at), models.warning(view)
    return {
        "total_processing_time_ms": took,
        "average_per_request_ms": round(took / view.total, 3) if view.total else 0.0,
        "batch_size": view.total,
        "model": view.model,
        **({"warning": warning} if warning else {}),
    }


def metrics(found: Performance, resources: Resources) -> dict[str, Any]:
    return {
        "current_stats": {
            "active_batches": found.active,
            "queue_length": found.waiting,
            "average_batch_size": round(found.batch_size, 3),
            "throughput_per_second": round(found.per_second, 3),
            "average_latency_ms": round(found.latency_ms, 3),
        },
        "performance_stats": {
            "total_processed": found.ended,
            "success_rate": found.success_rate,
            "error_rate": None if found.success_rate is None else 1 - found.success_rate,
            "average_processing_time_ms": round(found.hour_latency_ms, 3),
        },
        "resource_usage": {
            "cpu_usage_percent": resources.cpu_percent,
            "memory_usage_mb": resources.memory_mb,
            "gpu_usage_percent": resources.gpu_percent,
            "of": "the process group of the web server that responds; 100 % is one core",
        },
    }


def analytics(period: str, series: Mapping[str, Sequence[Point]]) -> dict[str, Any]:
    return {
        "period": period,
        "metrics": {
            name: [{"at": timestamp(at), "value": value} for at, value in points]
            for name, points in series.items()
        },
    }


def error(fault: Fault) -> Mapping[str, Any]:
    """Every error of this contract; its id is in the log."""
    if fault.error_id is not None:
        message = "An unexpected error occurred. Please try again later."
        return {"error": "Internal server error", "error_id": fault.error_id, "message": message}
    return {"error": fault.type, "error_id": fault.request_id, "message": fault.message, **fault.details}


def configuration(found: Configuration) -> dict[str, Any]:
    return {
        "max_batch_size": found.batching.max_batch_size,
        "max_wait_time_ms": found.batching.max_wait_time_ms,
        "enable_dynamic_batching": found.batching.enable_dynamic_batching,
        "enable_adaptive_batching": found.batching.enable_adaptive_batching,
        "priority_weights": dict(found.priority_weights),
    }


def _ended(view: JobView) -> int:
    return view.total - view.counts.unended


def _progress(view: JobView) -> float:
    """Truncated, not rounded: 1 means that every item has ended."""
    return _ended(view) * 10_000 // view.total / 10_000 if view.total else 1.0


def _processing_ms(view: JobView, at: dt.datetime) -> int:
    return 0 if view.started_at is None else _ms(view.started_at, view.ended_at or at)


def _ms(since: dt.datetime, until: dt.datetime) -> int:
    return max(0, round((until - since) / dt.timedelta(milliseconds=1)))


def _error(view: JobView) -> dict[str, str]:
    """Why the batch, or a part of it, has no results; empty if nothing went wrong."""
    if view.status in (JobStatus.EXPIRED, JobStatus.FAILED):
        return {"error": view.status_reason or f"the batch has {view.status.value}"}
    if word(view) == "failed":
        return {"error": f"all {view.total:,} items failed: see the error of each in the batch's results"}
    return {}


def _nearest(priority: int, configuration: Configuration) -> str:
    """The urgency closest to the priority of a job of another contract."""
    return min(URGENCIES, key=lambda urgency: abs(configuration.priority(urgency) - priority))


def _output(answer: bytes) -> tuple[Any, float | None]:
    """An answer's output and its confidence, if the model gives one."""
    message = json.loads(answer)
    if message.get("type") != "inference":
        return answer_text(answer), None
    output, confidence = message["output"], message["confidence"]
    return output, _likelihood(output) if confidence is None else confidence


def _likelihood(output: Any) -> float | None:
    """The largest element of a probability vector."""
    if not isinstance(output, list) or len(output) < 2:
        return None
    if not all(isinstance(part, int | float) and not isinstance(part, bool) for part in output):
        return None
    if min(output) < 0 or not math.isclose(sum(output), 1, abs_tol=_ROUNDING):
        return None
    return float(max(output))
