"""Logs: one line an event on standard error, for people (`text`) or for machines (`json`).

What is bound with `structlog.contextvars` (request id, tenant, user, job) stands on every line. A line never
holds a prompt, an answer or a key: nothing of ours logs one, tracebacks carry no local variables and no rows
that a database quotes, and what looks like a key is masked.
"""

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

HANDLER = "penstock"
NOISY = ("alembic.runtime.migration",)  # tells how it connects whenever a probe asks for the revision

# A key of ours keeps its prefix, which is how people name it.
_KEYS = re.compile(r"(pk_[a-z2-7]{10}_|sk-)[\w-]{8,}")
# PostgreSQL quotes the row that it refuses, and rows are prompts and answers.
_QUOTED_ROW = re.compile(
    r"^(?:DETAIL|CONTEXT):.*?(?=^\[SQL: |^The above exception|^During handling|\Z)", re.MULTILINE | re.DOTALL
)

_Event = MutableMapping[str, Any]
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def configure(level: str, form: str) -> None:
    """Send every logger of this process, ours and the libraries', through one handler. Safe to call again."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.ExceptionRenderer(_traceback),
        mask_keys,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _install(level, _formatter(form, shared))


def mask_keys(_logger: object, _method: str, event: _Event) -> _Event:
    """Mask what looks like an API key in every text of an event."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _KEYS.sub(r"\1***", value)
    return event


def _formatter(form: str, shared: list[Any]) -> logging.Formatter:
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "text":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), timestamp_key="at", exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is now, not to what it was when the handler was made."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def _install(level: str, formatter: logging.Formatter) -> None:
    handler = _StandardError()
    handler.set_name(HANDLER)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if other.get_name() != HANDLER] + [handler]
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _traceback(exc_info: _ExcInfo) -> str:
    lines = traceback.TracebackException(*exc_info, capture_locals=False, compact=True).format()
    return _QUOTED_ROW.sub("(a row was quoted here)\n", "".join(lines)).rstrip()
