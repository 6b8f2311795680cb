"""Logs: one line per event on standard error, for people (`text`) or for machines (`json`).

Values bound with `structlog.contextvars` (request id, tenant, user, job) are on every line, and so is what
`subject` tells. A line never contains a prompt, an answer or a key: our code logs none, tracebacks omit local
variables and rows quoted by a database, and what looks like a key, or a password in an address, is masked.
"""

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NoReturn, TextIO

import structlog

from config.floods import Bound

HANDLER = "penstock"
NOISY = ("alembic.runtime",)  # logs its plugins and connection whenever a probe requests the revision

# One of our keys keeps its prefix, which identifies it to people.
_KEYS = re.compile(r"(?<![A-Za-z0-9])(pk_[a-z2-7]{10}_|sk-)[\w-]{8,}")
# Bounded: the time for a line full of addresses would grow with the square of its length.
_PASSWORDS = re.compile(r"(://[^\s/@:\"']{0,64}):[^\s@\"']{1,256}@")
# What moves a terminal's cursor or colours it; tabs and ends of lines do neither.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# PostgreSQL quotes the row that it rejects, and rows contain prompts and answers.
_QUOTED_ROW = re.compile(
    r"^(?:DETAIL|CONTEXT):.*?(?=^\[SQL: |^The above exception|^During handling|\Z)", re.MULTILINE | re.DOTALL
)

_Event = MutableMapping[str, Any]
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

# What a line written from here on is about, asked only when there is a line: a call sets it in 0.1 µs, which
# binding its job, record and attempt takes twenty times.
subject: ContextVar[Callable[[], Mapping[str, Any]] | None] = ContextVar("subject", default=None)


def configure(level: str, form: str, left_out: Callable[[logging.LogRecord], bool] | None = None) -> None:
    """Route every logger of this process, ours and the libraries', to one handler. Safe to call again.

    `left_out` says which lines are not written. In JSON, warnings and uncaught exceptions are lines as well.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_subject,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.ExceptionRenderer(_traceback),
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
    _install(level, _formatter(form, shared), left_out)
    if form == "json":
        logging.captureWarnings(True)
        sys.excepthook = _uncaught
        threading.excepthook = lambda given: _uncaught(given.exc_type, given.exc_value, given.exc_traceback)
        sys.unraisablehook = lambda given: _uncaught(given.exc_type, given.exc_value, given.exc_traceback)


def end_with(message: str, code: int = 1) -> NoReturn:
    """End a process that cannot do its work, with one line that says why."""
    if likely_form() == "json":
        say_refused(message)
    else:
        sys.stderr.write(f"penstock: {message}\n")
    raise SystemExit(code)


def say_refused(message: str) -> None:
    configure("INFO", "json")
    structlog.get_logger("penstock").error("process.refused", why=message)


def likely_form() -> str:
    """The form of the log for a process whose settings may be invalid."""
    given, production = (os.environ.get(name, "").strip().lower() for name in ("LOG_FORMAT", "API_ENV"))
    return "json" if given == "json" or (not given and production == "production") else "text"


def _add_subject(_logger: object, _method: str, event: _Event) -> _Event:
    tell = subject.get()
    return event if tell is None else {**tell(), **event}


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    where = threading.current_thread().name
    shown = (kind, error or kind(), trace)
    structlog.get_logger("penstock").critical("uncaught_exception", thread=where, exc_info=shown)


def _mask(_logger: object, _method: str, line: str) -> str:
    """Without anything that looks like an API key, or the password of an address, wherever it stands."""
    if "pk_" in line or "sk-" in line:  # a pattern takes ten times as long
        line = _KEYS.sub(r"\1***", line)
    return _PASSWORDS.sub(r"\1:***@", line) if "://" in line else line


def _indent(_logger: object, _method: str, event: _Event) -> _Event:
    """Nothing that a caller sends can look like a line of its own, or move a terminal's cursor."""
    for name in ("event", "exception"):
        if name in event:
            event[name] = _CONTROLS.sub(lambda found: repr(found[0])[1:-1], str(event[name]))
    event["event"] = event["event"].replace("\n", "\n    ")
    return event


def _formatter(form: str, shared: list[Any]) -> logging.Formatter:
    rendered: list[Any] = [structlog.processors.JSONRenderer(), _mask]
    if form == "text":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), timestamp_key="at", exception_formatter=structlog.dev.plain_traceback
        )
        rendered = [_indent, renderer, _mask]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
    )


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to the current standard error, not the one from when the handler was created."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr

    def handleError(self, record: logging.LogRecord) -> None:
        """Of a line that cannot be written, such as a library's with a value too few, say just that."""
        if not isinstance(record.msg, dict):  # ours always can, unless standard error is gone
            where = f"{record.pathname}:{record.lineno}"
            structlog.get_logger(record.name).error("log.broken", line=str(record.msg), where=where)


def _install(
    level: str, formatter: logging.Formatter, left_out: Callable[[logging.LogRecord], bool] | None
) -> None:
    handler = _StandardError()
    handler.set_name(HANDLER)
    handler.setLevel(level)  # of the handler too: Flower sets a level of its own
    handler.setFormatter(formatter)
    if left_out is not None:
        handler.addFilter(lambda record: not left_out(record))
    handler.addFilter(Bound())
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if other.get_name() != HANDLER] + [handler]
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _traceback(exc_info: _ExcInfo) -> str:
    lines = traceback.TracebackException(*exc_info, capture_locals=False, compact=True).format()
    return _QUOTED_ROW.sub("(a row was quoted here)\n", "".join(lines)).rstrip()
