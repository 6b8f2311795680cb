"""One server's absence, as one process sees it."""

import contextvars
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import structlog

log = structlog.get_logger("app.core.outages")

CHECK = 0.5  # seconds between two looks at a server that is away
# Seconds for which nothing may have missed a server that answers again.
QUIET = 3.0
# The same of one that has answered every look, such as a Redis that is full: beat misses that every five
# seconds, and it would be away and back all the time.
QUIET_ANSWERING = 20.0


class Server(NamedTuple):
    """Where a server is, and a call that raises while it cannot be used."""

    where: str  # without a password
    reach: Callable[[], object]


class Outage:
    """Says `NAME.away` the first time that something misses the server, `NAME.back` when it answers again.

    Everything that does without the server calls `noticed` each time: what is not said is counted. Whether it
    is back is found out by a thread that ends with the outage.
    """

    def __init__(self, name: str, find: Callable[[], Server]) -> None:
        """`find` is called when the server goes, so that the thread knows nothing of later settings."""
        self._name, self._find = name, find
        self._lock = threading.Lock()
        self._missed: Counter[str] = Counter()  # since it went, by what was done without it
        self._began = self._latest = 0.0  # monotonic: the first and the last time that it was missed
        self._quiet = QUIET
        self.is_over = True

    def noticed(self, during: str, error: str, why: str | None = None) -> None:
        """Something, `during`, could not be done. `why` is a sentence, where there is more to say."""
        with self._lock:
            self._latest = time.monotonic()
            if not self.is_over:
                self._missed[during] += 1
                return
            self.is_over, self._began, self._missed = False, self._latest, Counter([during])
            self._quiet = QUIET_ANSWERING
        server = self._find()
        more = {} if why is None else {"why": why}
        # In an empty context: it is nobody's request that the server is away.
        contextvars.Context().run(
            log.warning, f"{self._name}.away", during=during, error=error, server=server.where, **more
        )
        with suppress(RuntimeError):  # a process that is at its end starts no thread
            threading.Thread(
                target=self._watch, args=(server,), name=f"{self._name}-outage", daemon=True
            ).start()

    def _watch(self, server: Server) -> None:
        while not (self.is_over or self._is_back(server)):
            time.sleep(CHECK)

    def _is_back(self, server: Server) -> bool:
        try:
            server.reach()
        except Exception:  # whatever it is, the server cannot be used
            self._latest, self._quiet = time.monotonic(), QUIET
            return False
        with self._lock:
            if time.monotonic() - self._latest < self._quiet:
                return False
            missed, self.is_over = self._missed, True
        log.warning(
            f"{self._name}.back",
            seconds=round(self._latest - self._began, 1),
            left_out=missed.total() - 1,
            missed=dict(missed),
        )
        return True
