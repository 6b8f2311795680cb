"""What open pages cost a job at full speed: records a second and processor time, with and without them.

Ten lists of jobs and ten pages of the running job are open for a while, and then closed for as long, again
and again. At last 100 streams are, for the memory of the web process.
"""

import argparse
import selectors
import socket
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from bench import servers
from bench.dashboard import Browser
from bench.service import AS_FAST_AS_IT_CAN, Job, Service, prompts, running

SETTLE = 2.0  # seconds after pages were opened or closed
AT_ONCE = 1 << 16


@contextmanager
def opened(address: str, cookie: str, paths: list[str]) -> Iterator[None]:
    """Streams that one cheap thread reads."""
    server, over = urlsplit(address), threading.Event()
    with ExitStack() as stay:
        chosen = stay.enter_context(selectors.DefaultSelector())
        for path in paths:
            wire = stay.enter_context(socket.create_connection((server.hostname, server.port)))
            wire.sendall(f"GET {path} HTTP/1.1\r\nHost: {server.netloc}\r\nCookie: {cookie}\r\n\r\n".encode())
            assert b" 200 " in wire.recv(AT_ONCE).split(b"\r\n")[0]
            chosen.register(wire, selectors.EVENT_READ)

        def read() -> None:
            while not over.is_set():
                for key, _ in chosen.select(0.2):
                    key.fileobj.recv(AT_ONCE)  # type: ignore[union-attr]

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def window(service: Service, job: Job, seconds: float) -> dict[str, float]:
    """Records a second, and cores by process, for so long."""
    time.sleep(SETTLE)
    processes = service.processes()
    spent, ended, since = processes.spent(), service.ended(job), time.monotonic()
    time.sleep(seconds)
    records = service.ended(job) - ended
    passed = time.monotonic() - since
    assert service.look(job)["status"] == "running", "the job was too short"
    found = {part: used / passed for part, used in processes.since(spent).items()}
    return {**found, "records/s": records / passed}


def compare(service: Service, job: Job, seconds: float, rounds: int) -> None:
    browser = Browser(service)
    page, listed = f"/ui/jobs/{job['id']}/live", "/ui/jobs/live"
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(rounds):
        found["none"].append(window(service, job, seconds))
        with opened(service.address, browser.cookie, [page, listed] * 10):
            found["10 lists and 10 jobs"].append(window(service, job, seconds))
    for what, windows in found.items():
        for name in ("records/s", "web", "slices", "control", "database"):
            values = [each[name] for each in windows]
            print(
                f"{what}: {name} {statistics.median(values):,.2f} ({min(values):,.2f} to {max(values):,.2f})"
            )
    before = max(service.processes().memory()["web"])
    with opened(service.address, browser.cookie, [page, listed] * 50):
        time.sleep(5)
        after = max(service.processes().memory()["web"])
    print(f"100 streams: the web process has {after / 1e6:.0f} MB of its own, {before / 1e6:.0f} before")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--seconds", type=float, default=15, help="of each window")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with ExitStack() as stay:
        upstream = stay.enter_context(servers.provider())
        service = stay.enter_context(running(upstream, **AS_FAST_AS_IT_CAN))
        job = service.submit(prompts(asked.records))
        while service.ended(job) < 2_000:
            time.sleep(0.2)
        compare(service, job, asked.seconds, asked.rounds)
        service.http.post(f"/jobs/{job['id']}/cancel").raise_for_status()


if __name__ == "__main__":
    main()
