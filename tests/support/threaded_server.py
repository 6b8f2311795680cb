"""A front door behind a real server with threads, in the test's own process."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import make_server

from app.core.reading.feed import feed
from tests.support.front_door import Door, Worker
from tests.support.servers import wait_until
from tests.support.sse_reader import Stream

LOOK = 0.02  # seconds; between two looks for its end


class Served:
    """A door, its server and a worker that the test itself plays."""

    def __init__(self, door: Door) -> None:
        self.door, self.worker = door, Worker()
        self._server = make_server("127.0.0.1", 0, door.app, threaded=True)
        self._server.daemon_threads = False  # so that its end waits for every request's
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(LOOK,), daemon=True)
        self._thread.start()

    def watch(self, job: Mapping[str, Any], last_id: int | None = None, timeout: float = 10) -> Stream:
        return Stream(self.url, job["links"]["events"], self.door.key, last_id, timeout)

    def stop(self) -> None:
        """End the streams that are left, as the end of a process does."""
        feed().stop()
        wait_until(lambda: all(thread.name != "feed" for thread in threading.enumerate()), what="no news")
        feed.cache_clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(door: Door | None = None) -> Iterator[Served]:
    served = Served(door or Door())
    try:
        yield served
    finally:
        served.stop()
