"""Whether the stack can be used: the web process answers, and every worker accepts commands."""

import http.client
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from app.stack.supervisor import Supervisor

STEP = 30.0  # seconds between two messages about a slow start
SOON, LATEST = 0.1, 1.0  # seconds to wait for an answer: a worker that was asked too early never answers


def wait_until_ready(
    supervisor: Supervisor, address: str, workers: set[str], began: float, say: Callable[[str], None]
) -> bool:
    """Wait for the web process and every worker; True when all answered before a stop was requested.

    `began` is when the stack was requested (monotonic).
    """
    waiting, patience = {"web", *workers}, SOON

    def nobody_is_missing() -> bool:
        nonlocal patience
        if "web" in waiting and web_answers(address):
            waiting.discard("web")
        waiting.difference_update(workers_that_answer(waiting & workers, patience))
        patience = min(patience * 1.5, LATEST)
        return not waiting

    while not supervisor.wait_until(nobody_is_missing, STEP):
        if supervisor.asked:
            return False
        say(f"still waiting for {', '.join(sorted(waiting))}: see the logs")
    say(f"ready after {time.monotonic() - began:.1f} s; Ctrl-C stops")
    return True


def web_answers(address: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=1)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def workers_that_answer(names: set[str], patience: float) -> set[str]:
    """Those of the workers `names` that accept commands from the broker, each within `patience` seconds."""
    if not names:
        return set()
    from celery.utils.nodenames import host_format
    from kombu.exceptions import OperationalError

    from tasks.celery import app

    nodes = {host_format(f"{name}@%h"): name for name in names}
    try:
        # A connection of its own, closed again: none is left open in a process that is forked. Redis keeps
        # every client that asks for as long as its interval, even if nothing answers.
        with app.connection_for_write(transport_options={"polling_interval": patience}) as connection:
            answers = app.control.ping(
                destination=list(nodes), timeout=patience, limit=len(nodes), connection=connection
            )
    except (OperationalError, OSError):  # the broker is down; missing workers are reported at the end
        return set()
    return {nodes[node] for answer in answers for node in answer if node in nodes}
