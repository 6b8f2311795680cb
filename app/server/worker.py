"""The gunicorn worker of Penstock's web processes: `--worker-class app.server.worker.Worker`.

gunicorn's worker with threads gives a thread to every connection that has something to read, and the thread
reads heads and bodies as slowly as they come. Here the poller reads them. A thread gets a request when it is
whole, and leaves an answer that its reader does not take at once to the poller.
"""

import datetime as dt
import errno
import io
import resource
import selectors
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from http import HTTPStatus
from typing import Any, NoReturn

from gunicorn.arbiter import Arbiter
from gunicorn.http import wsgi
from gunicorn.workers.gthread import ThreadWorker

from app.core.measures.sharing import Sharer
from app.core.monitoring import own_standing
from app.core.tracing import traces
from app.errors import PenstockError
from app.server import bounds, refusals
from app.server.bodies import Room
from app.server.connection import Connection
from app.server.crowd import Crowd
from app.server.lobby import Hands, Lobby
from app.server.logger import log, telling_websockets
from app.server.turns import Turns
from app.server.watch import Ready, Watch, in_turn
from config import logs, settings
from config.settings import BadSetting

ACCEPTED = 32  # connections that are accepted at once
STEP = 1.0  # seconds between two heartbeats
LAST_STEP = 0.2  # the same while it stops
# Seconds that a thread computes while others wait for the interpreter. The poller lets go of it at each
# system call: with Python's 5 ms, four threads that read large sheets slow it to some fifty calls a second.
SWITCH = 0.001
TOLD = 60.0  # seconds between two lines about connections that were closed for others

# In the environ of a question about a head: called with the tenant's number, it takes room for the body and
# returns whether there is any. `app/web/large_bodies.py` answers.
ROOM = "penstock.room"
# In every environ: `app/web/capacity.py` calls it when the request takes a seat.
SEAT = "penstock.seat"


class Worker(ThreadWorker):
    """See the module."""

    wsgi: Any

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Raise `RuntimeError`, which gunicorn shows, for options that need another reading of the wire."""
        wrong = {
            "--certfile and --keyfile": cfg.is_ssl,
            "--http-protocols": list(cfg.http_protocols) != ["h1"],
            "--proxy-protocol": cfg.proxy_protocol != "off",
            "--protocol": getattr(cfg, "protocol", "http") != "http",
        }
        given = [name for name, is_given in wrong.items() if is_given]
        if given:
            raise RuntimeError(
                f"this worker speaks HTTP/1.1 alone: leave out {', '.join(given)}, and let a proxy in front"
                " speak TLS and HTTP/2"
            )

    def init_process(self) -> None:
        try:
            chosen = settings.current()
        except BadSetting as error:
            _refuse(error)
        sys.setswitchinterval(SWITCH)
        trust(self.cfg, [str(network) for network in chosen.trusted_proxies])
        self.cfg.set("sendfile", False)  # it would wait for the reader
        self._folder, self._room = chosen.data, Room()
        self._trusted = chosen.trusted_proxies
        self._told_at, self._told = time.monotonic(), 0
        super().init_process()

    def run(self) -> None:
        """Serve until the end of the worker."""
        self._turns = Turns()
        serve = partial(self._turns.ask, start=self.enqueue_req)
        ask = partial(self._turns.ask, start=self._enqueue_question)
        hands = Hands(serve, ask, self._refuse, self._time_out)
        watch = Watch(self.poller, Crowd(self._trusted))
        self._lobby = Lobby(watch, hands, _most_connections(), self.cfg.keepalive)
        self.poller.register(
            self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks
        )
        self.set_accept_enabled(True)
        sharer = own_standing.share("web")
        while self.alive and self.is_parent_alive():
            self._turn(STEP)
        self.set_accept_enabled(False)
        self._lobby.stop()
        latest = time.monotonic() + self.cfg.graceful_timeout
        while self._lobby.connections and time.monotonic() < latest:
            self._turn(LAST_STEP)
        _tell_the_rest(sharer)
        self.tpool.shutdown(wait=False)
        for listener in self.sockets:
            listener.close()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        for key in in_turn([key for key, _ in self.poller.select(timeout)]):
            try:
                key.data(key.fileobj)
            except Exception:
                # Whatever it is, it is one connection's matter, and the others' poller goes on.
                self.log.exception("a connection is closed for an error of the server")
                if isinstance(key.data, Ready):
                    self._lobby.close(key.data.connection)

    def accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED):
            try:
                wire, client = listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._lobby.make_room()
                elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                    raise
                return
            conn = Connection(self.cfg, wire, client, listener.getsockname(), self._folder, self._room)
            conn.sock.on_seat = partial(self.method_queue.defer, self._turns.end, conn)
            self._lobby.enter(conn)

    def load_wsgi(self) -> None:
        try:
            super().load_wsgi()
        except PenstockError as error:
            _refuse(error)
        self.wsgi = telling_websockets(_taking_seats(self.wsgi))

    def handle(self, conn: Connection) -> bool:
        """Answer a request, in a thread; whether the connection can go on."""
        request = conn.incoming.request
        try:
            keep = bool(self.handle_request(request, conn)) and not conn.incoming.has_failed
            conn.sock.flush()
        except StopIteration:  # gunicorn has cut the answer off
            return False
        except OSError as error:
            self.log.debug("a client has gone: %s", error)
            return False
        except Exception as error:
            self._refuse(conn, error)
            return False
        return keep

    def finish_request(self, conn: Connection, fs: "Future[bool]") -> None:
        """A thread has answered; this is the poller again."""
        self._turns.end(conn)
        conn.goes_on = not fs.cancelled() and fs.exception() is None and fs.result()
        self._finish(conn)

    def _turn(self, seconds: float) -> None:
        self.notify()
        self.wait_for_and_dispatch_events(seconds)
        self._lobby.sweep()
        self._tell()

    def _tell(self) -> None:
        """Say that connections were closed for others, and how many."""
        count = self._lobby.turned_away - self._told
        if count and time.monotonic() - self._told_at > TOLD:
            self._told_at, self._told = time.monotonic(), self._lobby.turned_away
            self.log.warning("closed %d connections without a whole request, to make room for others", count)

    def _enqueue_question(self, conn: Connection) -> None:
        asked = self.tpool.submit(self._may_send, conn)
        asked.add_done_callback(lambda answer: self.method_queue.defer(self._act_on, conn, answer))

    def _may_send(self, conn: Connection) -> bool:
        """Ask the application, in a thread, whether a body may come; if not, its refusal is the answer."""
        incoming, began = conn.incoming, time.monotonic()
        try:
            response, environ = wsgi.create(incoming.request, conn.sock, conn.client, conn.server, self.cfg)
            environ |= {"wsgi.multithread": True, "wsgi.input": io.BytesIO()}
            environ |= {"CONTENT_LENGTH": str(incoming.size), ROOM: incoming.grant_room}
            environ.pop("HTTP_TRANSFER_ENCODING", None)
            response.force_close()
            with closing(self.wsgi(environ, response.start_response)) as content:
                if not incoming.needs_grant:
                    return True
                for piece in content:
                    response.write(piece)
                response.close()
            took = dt.timedelta(seconds=time.monotonic() - began)
            self.log.access(response, incoming.request, environ, took)
            conn.sock.flush()
        except OSError as error:
            self.log.debug("a client has gone: %s", error)
        except Exception as error:
            self._refuse(conn, error)
        return False

    def _act_on(self, conn: Connection, answer: "Future[bool]") -> None:
        self._turns.end(conn)
        if not answer.cancelled() and answer.exception() is None and answer.result():
            self._lobby.go_on(conn)
        else:
            conn.goes_on = False
            self._finish(conn)

    def _finish(self, conn: Connection) -> None:
        try:
            self._lobby.finish(conn)
        except Exception:
            self.log.exception("a connection is closed for an error of the server")
            self._lobby.close(conn)

    def _refuse(self, conn: Connection, error: Exception) -> None:
        """Answer what gunicorn's parser refuses with 400 or the like, a full disk with 503, else with 500."""
        about = {"request_id": refusals.new_request_id(), "client": conn.address}
        if isinstance(error, OSError):
            log.error("http.not_stored", **about, folder=self._folder, error=str(error))
            refusal = refusals.FULL
        elif (found := refusals.of(error)) is not None:
            log.warning("http.invalid", **about, status=found[0], why=refusals.reason(error))
            refusal = found
        else:
            log.error("unexpected_error", **about, exc_info=error)
            refusal = refusals.OURS
        self._end_with(conn, *refusal, about["request_id"])

    def _time_out(self, conn: Connection) -> None:
        message = "the request took too long to arrive: send it again"
        self._end_with(conn, HTTPStatus.REQUEST_TIMEOUT, message, refusals.new_request_id())

    def _end_with(self, conn: Connection, status: HTTPStatus, message: str, request_id: str) -> None:
        try:
            refusals.write(conn.sock, status, message, request_id)
        except OSError:
            return  # as below
        self._flush(conn)

    def _flush(self, conn: Connection) -> None:
        try:
            conn.sock.flush()
        except OSError:
            pass  # the client has gone, which the next look at its socket shows


def _taking_seats(application: Callable[..., Any]) -> Callable[..., Any]:
    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        environ[SEAT] = environ["gunicorn.socket"].on_seat
        return application(environ, start_response)

    return serve


def _refuse(error: Exception) -> NoReturn:
    """One line instead of a traceback, and no other worker in place of this one."""
    logs.end_with(str(error), Arbiter.APP_LOAD_ERROR)


def trust(cfg: Any, proxies: list[str]) -> None:
    """Believe what a request's headers say of the way that it came only from the proxies that are named.

    A Unix socket's clients have no address that could be named: gunicorn believes them, unless there is
    nothing to believe.
    """
    cfg.set("forwarded_allow_ips", ",".join(proxies))
    cfg.set("header_map", "drop")  # `X_Forwarded_For` must not pass for `X-Forwarded-For`
    if not proxies:
        cfg.set("forwarder_headers", "")
        cfg.set("secure_scheme_headers", {})


def _tell_the_rest(sharer: Sharer) -> None:
    """Hand over what this process has counted, and what it has traced, since it last did."""
    sharer.stop()
    traces.stop()


def _most_connections() -> int:
    """What the open files that this process may have allow; it may have as many as the system grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = bounds.MOST_CONNECTIONS * bounds.FILES_EACH + bounds.SPARE_FILES
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < granted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
        soft = granted
    files = wanted if soft == resource.RLIM_INFINITY else soft
    return max(64, min(bounds.MOST_CONNECTIONS, (files - bounds.SPARE_FILES) // bounds.FILES_EACH))
