"""What is traced: a request, the windows of its job, their slices, calls. Off, each of these costs an `if`.

`app.core.tracing.otel` alone knows OpenTelemetry. It is imported where the environment names a collector, and
nowhere else.
"""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.providers.client import Reply
from config import settings

if TYPE_CHECKING:
    from app.core.tracing.otel import RequestSpan, Spans

log = structlog.get_logger()

Headers = Mapping[str, Any] | None  # of a message; of a request, in lower case
Facts = Mapping[str, int]

VARIABLE = "TRACEPARENT"

_spans: "Spans | None" = None  # None: off


def start(role: str) -> None:
    """Trace from now on, if the environment says where to. For a process that does not fork any more.

    `role` is what the process does: `web`, `slices`, `control`.
    """
    global _spans  # noqa: PLW0603 - one a process is the point
    chosen = settings.current()
    if _spans is not None or not chosen.sends_traces:
        return
    try:
        from app.core.tracing.otel import Spans

        _spans = Spans(role, chosen.otlp_traces_endpoint or chosen.otlp_endpoint or "")
    except ImportError as error:
        log.warning("traces.off", missing=error.name, to_do="pip install 'penstock[otel]'")
    except Exception as error:  # a variable of OpenTelemetry's own: no reason not to serve
        log.exception("traces.off", error=type(error).__name__)


def stop() -> None:
    """Send what has not been sent, for two seconds at most, and trace nothing more."""
    global _spans  # noqa: PLW0603
    if _spans is not None:
        _spans.stop()
        _spans = None


def is_on() -> bool:
    return _spans is not None


def begin_request(
    method: str, route: str | None, url: tuple[str, str], headers: Headers
) -> "RequestSpan | None":
    """The span of a request to this process, which continues the caller's trace; it is to be ended.

    `url` is its scheme and its path.
    """
    return None if _spans is None else _spans.begin_request(method, route, url, headers)


def traceparent() -> str | None:
    """The span that this thread is in, as W3C writes it; what follows later is linked to that."""
    return None if _spans is None else _spans.traceparent()


def open_window(
    job: UUID, window: tuple[int, int], slices: int, linked_to: str | None
) -> AbstractContextManager[Mapping[str, Any]]:
    """The span of a window's offer (id and epoch); yields the options of its messages.

    Within a request it is part of that request's trace. Others are traces of their own, `linked_to` it, so
    that no trace grows with its job.
    """
    return _NO_OPTIONS if _spans is None else _spans.open_window(job, window, slices, linked_to)


def environment() -> Mapping[str, str]:
    """The variables of a process that goes on with what this thread is in."""
    found = traceparent()
    return {} if found is None else {VARIABLE: found}


def passed_on(headers: Headers) -> Mapping[str, Any]:
    """The options of a message that goes on with what one with these headers was about."""
    return {} if _spans is None else _spans.passed_on(headers)


def slice(
    headers: Headers, window: tuple[int, int], *, alone: bool
) -> AbstractContextManager[Callable[[Facts], None]]:
    """The span of a slice; yields what notes the summary. One for a record `alone` is that record's call."""
    return _NO_NOTES if _spans is None else _spans.slice(headers, window, alone=alone)


def close_window(headers: Headers, window: tuple[int, int]) -> AbstractContextManager[None]:
    """The span of the callback that closes a window."""
    return _NOTHING if _spans is None else _spans.close_window(headers, window)


def call(
    asked: Coroutine[Any, Any, Reply], job: JobContext, claim: Claim, model: str
) -> Coroutine[Any, Any, Reply]:
    """A call, `asked` once this is awaited; its span is made when it has ended, if it is to have one."""
    return asked if _spans is None else _spans.call(asked, job, claim, model)


def _ignore(_: Facts) -> None:
    """Off, nothing is noted."""


_NOTHING = nullcontext()
_NO_OPTIONS: AbstractContextManager[Mapping[str, Any]] = nullcontext({})
_NO_NOTES: AbstractContextManager[Callable[[Facts], None]] = nullcontext(_ignore)
