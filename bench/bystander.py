"""The tenant that attacks nobody: what it is answered while another one does."""

import http.client
import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.attacks import BOUNDARY, JSON, form, small_job, table

PATIENCE = 20.0  # seconds that it waits for an answer to a GET
PAUSE = 0.05  # seconds between two requests
LOOK = 0.1  # seconds between two looks at its job
ENDED = ("completed", "failed", "cancelled", "expired")


@dataclass
class Times:
    """Seconds that each try took, and what the others met."""

    taken: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def tries(self) -> int:
        return len(self.taken) + self.faults.total()

    def __str__(self) -> str:
        told = [f"{statistics.median(self.taken):.1f} to {max(self.taken):.1f} s"] if self.taken else []
        told += [f"{what} ({count} of {self.tries})" for what, count in self.faults.items()]
        return ", ".join(told) or "not tried"

    def milliseconds(self, share: float) -> str:
        """A quantile; without an answer in time, the time that was waited."""
        ranked = sorted([*self.taken, *[float("inf")] * self.faults.total()])
        found = ranked[int(share * (len(ranked) - 1))] if ranked else float("inf")
        return f"{found * 1000:,.0f}" if found < PATIENCE else "none"


class Bystander:
    """A tenant with a key. `works` does all of it at once, for so many seconds."""

    def __init__(self, address: str, key: str, longest: float) -> None:
        self.gets, self.jobs, self.downloads, self.tables = Times(), Times(), Times(), Times()
        self._netloc = urlsplit(address).netloc
        self._key = {"X-API-Key": key}
        self._longest = longest  # seconds that it waits for anything else
        self._table = form("r.xlsx", table(20), model="simulated", template="{{ a }}")
        self._results = self.has_done(1)

    def works(self, seconds: float) -> None:
        over = time.monotonic() + seconds
        parts: list[tuple[Times, Callable[[], object]]] = [
            (self.gets, lambda: self._ask("GET", "/api/v1/jobs", longest=PATIENCE)),
            (self.jobs, lambda: self.has_done(1)),
            (self.downloads, lambda: self._ask("GET", f"{self._results}?format=csv")),
            (self.tables, self._one_table),
        ]
        threads = [threading.Thread(target=repeat, args=(*part, over)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def has_done(self, records: int) -> str:
        """Where the results are of a job with so many records, when it has ended."""
        over = time.monotonic() + self._longest
        body = {**small_job(), "records": [{"prompt": f"Review {n}"} for n in range(records)]}
        job = json.loads(self._post("/api/v1/jobs", {**body, "priority": 10}))
        while json.loads(self._ask("GET", f"/api/v1/jobs/{job['id']}"))["status"] not in ENDED:
            if time.monotonic() > over:
                raise TimeoutError
            time.sleep(LOOK)
        results: str = job["links"]["results"]
        return results

    def _one_table(self) -> None:
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        self._ask("POST", "/api/v1/jobs", self._table, **kind)

    def _post(self, path: str, body: object) -> bytes:
        return self._ask("POST", path, json.dumps(body).encode(), **JSON)

    def _ask(
        self, method: str, path: str, body: bytes | None = None, longest: float = 0, **headers: str
    ) -> bytes:
        """The body of the answer. Raises `OSError` without one, `Refused` for one that is no success."""
        connection = http.client.HTTPConnection(self._netloc, timeout=longest or self._longest)
        try:
            connection.request(method, path, body, self._key | headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(str(answer.status))
        return content


class Refused(Exception):
    """An answer, but no success; the text is its status."""


def repeat(times: Times, action: Callable[[], object], over: float) -> None:
    """Do it again and again, and note how long each time takes."""
    while time.monotonic() < over:
        began = time.monotonic()
        try:
            action()
        except Refused as refused:
            times.faults[str(refused)] += 1
        except TimeoutError:
            times.faults[f"nothing within {time.monotonic() - began:.0f} s"] += 1
        except (OSError, http.client.HTTPException):
            times.faults["cut"] += 1
        else:
            times.taken.append(time.monotonic() - began)
        time.sleep(PAUSE)
