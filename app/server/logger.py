"""`--logger-class app.server.logger.Logger`: gunicorn's log as lines of ours, and a line for each request."""

import datetime as dt
import ipaddress
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from gunicorn import glogging

from app.core.outages import lines
from config import logs, settings
from config.settings import BadSetting
from config.variables import Network

log = structlog.get_logger("http")

# In the environ: the route, request id, tenant, user and job, from `app/web/errors.py`.
NAMED = "penstock.access"
# Asked every few seconds by whatever watches the process, so that only a failure is worth a line.
WATCHED = frozenset(
    f"{prefix}/{probe}" for prefix in ("", "/api/v1") for probe in ("health", "ready", "metrics")
)


class Logger(glogging.Logger):
    """Leaves what gunicorn says to the process's log, unless `--error-logfile` names a file for it."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        if cfg.errorlog != "-":
            return
        try:
            chosen = settings.current()
            logs.configure(chosen.log_level, chosen.log_format, lines.is_told)
        except BadSetting:  # the worker tells it, and ends
            logs.configure("INFO", logs.likely_form())
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: dt.timedelta) -> None:
        """The answer has been written, or was cut; of a stream, which may take hours, this is its end."""
        super().access(resp, req, environ, request_time)
        _tell(environ, resp.status_code, request_time.total_seconds(), resp.sent)


def telling_websockets(application: Callable[..., Any]) -> Callable[..., Any]:
    """The application with a line for each WebSocket that is over, of which gunicorn learns no answer."""

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        began = time.monotonic()
        try:
            return application(environ, start_response)
        except StopIteration:  # flask-sock's word for it
            _tell(environ, HTTPStatus.SWITCHING_PROTOCOLS, time.monotonic() - began)
            raise

    return serve


def _tell(environ: Mapping[str, Any], status: int, seconds: float, sent: int | None = None) -> None:
    if not settings.current().access_log or not _is_worth_a_line(environ["PATH_INFO"], status):
        return
    log.info(
        "http.request",
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"],
        status=status,
        seconds=round(seconds, 4),
        bytes=sent,
        client=client(environ, settings.current().trusted_proxies),
        **environ.get(NAMED, {}),
    )


def client(environ: Mapping[str, Any], trusted: tuple[Network, ...]) -> str:
    """The address that a request came from: the last one that no trusted proxy passed on for another."""
    passed_on = [environ.get("HTTP_X_FORWARDED_FOR", ""), environ.get("REMOTE_ADDR", "")]
    hops = [hop.strip() for hop in ",".join(passed_on).split(",") if hop.strip()]
    while len(hops) > 1 and _is_in(hops[-1], trusted):
        hops.pop()
    return hops[-1] if hops else ""


def _is_in(hop: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(hop)
    except ValueError:
        return False
    return any(address in network for network in networks)


def _is_worth_a_line(path: str, status: int) -> bool:
    if status == HTTPStatus.CONTINUE:
        return False  # to a question about a body: the request itself comes with it
    return path not in WATCHED or status >= HTTPStatus.BAD_REQUEST
