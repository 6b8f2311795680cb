"""Logs: one line per event on standard error, for people (`text`) or for machines (`json`).

Values bound with `structlog.contextvars` (request id, tenant, user, job) are on every line. A line never
contains a prompt, an answer or a key: our code logs none, tracebacks omit local variables and rows quoted by
a database, and anything that looks like a key is masked.
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
NOISY = ("alembic.runtime.migration",)  # logs its connection whenever a probe requests the revision

# One of our keys keeps its prefix, which identifies it to people.
_KEYS = re.compile(r"(pk_[a-z2-7]{10}_|sk-)[\w-]{8,}")
# PostgreSQL quotes the row that it rejects, and rows contain prompts and answers.
_QUOTED_ROW = re.compile(
    r"^(?:DETAIL|CONTEXT):.*?(?=^\[SQL: |^The above exception|^During handling|\Z)", re.MULTILINE | re.DOTALL
)

_Event = MutableMapping[str, Any]
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def configure(level: str, form: str) -> None:
    """Route every logger of this process, ours and the libraries', to one handler. Safe to call again."""
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
    """Mask anything that looks like an API key in all strings of an event."""
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
    """Writes to the current standard error, not the one from when the handler was created."""

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
