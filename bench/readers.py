"""What readers see while a large job runs at full speed, and how fast results stream out.

A job of records that are answered at once keeps both cores at work. Beside it: its state asked for again and
again, pages of its records and of the list of jobs, and 200 readers of its events. Then its results, whole.
"""

import argparse
import datetime as dt
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from bench import servers
from bench.large import Memory
from bench.service import AS_FAST_AS_IT_CAN, Job, Service, prompts, running
from tests.sse import Stream

PAUSE = 0.05  # seconds between two questions


class Crowd:
    """Readers of one job's events, and when each of them came."""

    def __init__(self, service: Service, job: Job, count: int) -> None:
        key = service.http.headers["Authorization"].removeprefix("Bearer ")
        path = f"/api/v1/jobs/{job['id']}/events"
        self._came: list[dict[int, float]] = [
            {} for _ in range(count)
        ]  # by seq: when its event came, on the clock
        self._streams = [Stream(service.address, path, key, timeout=120) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._read, args=(stream, came), daemon=True)
            for stream, came in zip(self._streams, self._came, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Stream, came: dict[int, float]) -> None:
        try:
            for told in stream:
                if told.kind == "records":
                    came[told.data["records"][-1][2]] = time.time()
        except (OSError, ValueError, AttributeError):
            return  # it was closed

    def close(self) -> None:
        for stream in self._streams:
            stream.close()

    def delays(self, ended: dict[int, float]) -> list[float]:
        """From the end of the last answer of each event, by its seq, to the event's coming."""
        return [at - ended[seq] for came in self._came for seq, at in came.items() if seq in ended]


def times(ask: Callable[[], object], seconds: float) -> list[float]:
    """How long each of many questions takes, one after the other, in seconds."""
    found = []
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        began = time.monotonic()
        ask()
        found.append(time.monotonic() - began)
        time.sleep(PAUSE)
    return found


def ends(service: Service) -> dict[int, float]:
    """When each answer was written, by its seq, on the clock."""
    import psycopg

    with psycopg.connect(service.database.replace("postgresql+psycopg", "postgresql")) as connection:
        rows = connection.execute("SELECT seq, extract(epoch FROM ended_at)::float FROM record_output")
        return dict(rows.fetchall())


def told(what: str, values: Sequence[float]) -> None:
    ranked = sorted(values)
    p99 = ranked[int(0.99 * (len(ranked) - 1))]
    median = statistics.median(ranked)
    print(f"{what}: median {median * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms ({len(ranked):,})", flush=True)


def beside_a_job(service: Service, records: int, readers: int, seconds: float) -> Job:
    job = service.submit(prompts(records))
    name = f"/jobs/{job['id']}"
    while service.ended(job) < records // 20:
        time.sleep(0.1)

    def asked(path: str, **query: object) -> Callable[[], object]:
        return lambda: service.http.get(path, params=query).raise_for_status()  # type: ignore[arg-type]

    told("GET /jobs/{id}", times(asked(name), seconds))
    told("GET /jobs/{id}/records, 100 of them", times(asked(f"{name}/records", limit=100), seconds))
    told("GET /jobs", times(asked("/jobs"), seconds))
    crowd = Crowd(service, job, readers)
    told(f"GET /jobs/{{id}} beside {readers} readers of events", times(asked(name), seconds))
    assert service.look(job)["status"] == "running", "the job was too short"
    crowd.close()
    told(f"events to {readers} readers, from the answer's end", crowd.delays(ends(service)))
    before = service.ended(job)
    began = dt.datetime.now(dt.UTC)
    service.wait_for(job)
    passed = dt.datetime.now(dt.UTC) - began
    print(f"the job went on at {(records - before) / passed.total_seconds():,.0f} records/s", flush=True)
    return job


def stream_out(service: Service, job: Job, records: int) -> None:
    for form in ("jsonl", "csv"):
        memory = Memory(service)
        lines, began = 0, time.monotonic()
        with (
            memory.watched(),
            service.http.stream("GET", f"/jobs/{job['id']}/results", params={"format": form}) as answer,
        ):
            for chunk in answer.iter_raw():
                lines += chunk.count(b"\n")
        seconds = time.monotonic() - began
        assert lines >= records
        print(
            f"results as {form}: {records / seconds:,.0f} records/s;"
            f" the web grew by {memory.growth('web'):.0f} MB",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=15, help="of each kind of question")
    asked = parser.parse_args()
    with ExitStack() as stay:
        upstream = stay.enter_context(servers.provider())
        service = stay.enter_context(running(upstream, **AS_FAST_AS_IT_CAN))
        job = beside_a_job(service, asked.records, asked.readers, asked.seconds)
        stream_out(service, job, asked.records)


if __name__ == "__main__":
    main()
