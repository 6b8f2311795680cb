"""How long each view of the page takes beside a job at full speed.

The tenant has 10,000 jobs and one of 1,000,000 records. Every GET view below `/ui` is asked for again and
again by a browser that has signed in: one that is about a job, for the large one, or for a record in its
middle. Streams and downloads last as long as they have something to send, and are left out.
"""

import argparse
import logging
import re
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from urllib.parse import urlencode

import httpx2

from app.factory import create_app
from app.providers import registry
from app.web import auth
from bench import servers
from bench.filled import Filled, fill
from bench.service import AS_FAST_AS_IT_CAN, MODEL, Job, Service, prompts, running

ROWS = 10_000  # of a sheet that was dropped
PAUSE = 0.05  # seconds between two questions
ALLOWED = 0.15  # seconds that 95 of 100 may take
# Besides each view as it is: what is asked of it.
SEARCHES = {
    "/ui/jobs": (
        {"status": "with_failures"},
        {"q": "reviews 77"},
        {"q": "nothing has this name"},
        {"status": "completed", "q": "reviews 12"},
    ),
    "/ui/jobs/<job_id>/records": (
        {"status": "failed"},
        {"after": "400000"},
        {"q": "nothing has this text"},
        {"q": "nothing has this text", "status": "failed"},
        {"error": "nothing_ended_so"},
    ),
    "/ui/jobs/<job_id>/compare": ({"with": "{job}"}, {"with": "{job}", "part": "same"}),
}


def views(known: Mapping[str, str]) -> Iterator[str]:
    """The path of every view, with what is `known` by the names in it."""
    app = create_app()
    logging.disable()  # which it has turned on
    for rule in sorted(app.url_map.iter_rules(), key=str):
        if not rule.rule.startswith("/ui") or "GET" not in (rule.methods or ()):
            continue
        if auth.scope_of(app.view_functions[rule.endpoint]) == auth.PUBLIC:
            continue
        if unknown := rule.arguments - known.keys():
            print(f"{rule}: not measured, as it names {', '.join(sorted(unknown))}", flush=True)
            continue
        path = re.sub(r"<(?:[^:>]*:)?(\w+)>", lambda found: known[found[1]], rule.rule)
        yield path
        for asked in SEARCHES.get(rule.rule, ()):
            yield f"{path}?{urlencode({name: value.format(**known) for name, value in asked.items()})}"


def furnished(service: Service, browser: "Browser", filled: Filled, job: Job) -> dict[str, str]:
    """One of everything that a view may be about, by the name that it has in paths."""

    def made(path: str, **fields: object) -> str:
        return str(service.http.post(path, json=fields).raise_for_status().json()["id"])

    webhook: dict[str, object] = {
        "name": "ends",
        "url": "https://example.com/hooks",
        "event_types": ["job.completed"],
    }
    return {
        "job_id": str(filled.large),
        "job": str(job["id"]),
        "index": str(filled.middle),
        "key_id": made("/keys", name="reader", scopes=["jobs:read"]),
        "webhook_id": made("/webhooks", **webhook),
        "uid": browser.drop("reviews.csv", b"review\n" + b"Great phone, bad battery.\n" * ROWS),
        "group": registry.limit_group(MODEL),
        "name": "summarize",
    }


class Browser:
    """A browser that has signed in with the service's key."""

    def __init__(self, service: Service) -> None:
        self._http = httpx2.Client(base_url=service.address, timeout=60)
        key = service.http.headers["Authorization"].removeprefix("Bearer ")
        form = self._http.get("/ui/sign-in").text
        token = re.search(r'name="csrf_token" value="(\w+)"', form)
        assert token is not None, form
        entered = self._http.post("/ui/sign-in", data={"csrf_token": token[1], "key": key})
        assert entered.status_code == 303, entered.text
        token = re.search(r'name="csrf_token" value="(\w+)"', self._http.get("/ui/keys").text)
        assert token is not None
        self._token = token[1]

    @property
    def cookie(self) -> str:
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._http.cookies.jar)

    def drop(self, name: str, content: bytes) -> str:
        """The id of the draft that a dropped file becomes."""
        answer = self._http.post("/ui/new", data={"csrf_token": self._token}, files={"file": (name, content)})
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"].rpartition("/")[2]

    def ask(self, path: str) -> float | None:
        """Seconds until the page is there; None for what is no page."""
        began = time.perf_counter()
        with self._http.stream("GET", path) as answer:
            if not answer.is_success:
                return None if answer.is_redirect else self._refuse(path, answer.status_code)
            kind = answer.headers["Content-Type"]
            if not kind.startswith("text/html") or "Content-Disposition" in answer.headers:
                return None
            answer.read()
        return time.perf_counter() - began

    def _refuse(self, path: str, status: int) -> None:
        print(f"{path}: {status}", flush=True)


def times(browser: Browser, path: str, seconds: float) -> list[float]:
    """How long each of many questions takes, one after the other."""
    found: list[float] = []
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        took = browser.ask(path)
        if took is None:
            return []
        found.append(took)
        time.sleep(PAUSE)
    return found


def told(path: str, found: list[float]) -> float:
    ranked = sorted(found)
    p95 = ranked[int(0.95 * (len(ranked) - 1))]
    late = "  TOO SLOW" if p95 > ALLOWED else ""
    median = statistics.median(ranked)
    print(f"{path}: median {median * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms ({len(ranked)}){late}", flush=True)
    return p95


def beside_a_job(service: Service, jobs: int, records: int, seconds: float) -> dict[str, float]:
    """The p95 of every view, in seconds."""
    filled, browser = fill(service.database, jobs, records), Browser(service)
    job = _busy(service, None, records)
    slowest = {}
    for path in views(furnished(service, browser, filled, job)):
        job = _busy(service, job, records)
        if found := times(browser, path, seconds):
            slowest[path] = told(path, found)
    service.http.post(f"/jobs/{job['id']}/cancel").raise_for_status()
    return slowest


def _busy(service: Service, job: Job | None, records: int) -> Job:
    """The job that runs meanwhile, or the next one."""
    if job is not None and service.ended(job) < 0.8 * job["total"]:
        return job
    return service.submit(prompts(min(records, 50_000)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=8, help="of each view")
    asked = parser.parse_args()
    with ExitStack() as stay:
        upstream = stay.enter_context(servers.provider())
        service = stay.enter_context(running(upstream, **AS_FAST_AS_IT_CAN))
        slowest = beside_a_job(service, asked.jobs, asked.records, asked.seconds)
    late = [path for path, p95 in slowest.items() if p95 > ALLOWED]
    raise SystemExit(f"slower than {ALLOWED * 1000:.0f} ms: {', '.join(late)}" if late else 0)


if __name__ == "__main__":
    main()
