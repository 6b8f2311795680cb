"""What a large job costs: sending 100,000 records, and a record of a million beside one of ten thousand.

The submission is compared with what it cannot do without: parsing the file and COPYing its rows, by hand,
into the same tables. Memory is what each process has for itself alone.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import redis

from bench import batch_files, servers
from bench.service import AS_FAST_AS_IT_CAN, Service, running

LINE = 400  # bytes
EVERY = 0.5  # seconds between two looks at memory


def write_lines(path: Path, count: int) -> Path:
    """JSON lines of 400 bytes each."""
    with path.open("wb") as file:
        for number in range(count):
            text = f"Classify review {number}: great phone, bad battery. "
            file.write(
                json.dumps({"prompt": text.ljust(LINE - len('{"prompt": ""}') - 1, "x")}).encode() + b"\n"
            )
    return path


def by_hand(url: str, path: Path) -> float:
    """Seconds that parsing the file and COPYing its rows takes, into tables like a record's."""
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        for table in ("record", "record_input"):
            connection.execute(f"DROP TABLE IF EXISTS hand_{table}")
            connection.execute(f"CREATE TABLE hand_{table} (LIKE {table} INCLUDING ALL)")
        connection.commit()
        began = time.monotonic()
        with path.open("rb") as file:
            prompts = [json.loads(line)["prompt"] for line in file]
        with connection.cursor().copy(
            "COPY hand_record (job_id, idx, status, attempts, tries, deaths, request_bytes) FROM STDIN"
        ) as copy:
            for number, prompt in enumerate(prompts):
                copy.write_row((1, number, 0, 0, 0, 0, len(prompt)))
        with connection.cursor().copy("COPY hand_record_input (job_id, idx, body) FROM STDIN") as copy:
            for number, prompt in enumerate(prompts):
                copy.write_row((1, number, json.dumps({"prompt": prompt}).encode()))
        connection.commit()
        return time.monotonic() - began


class Memory:
    """The most that each part of a stack had at a time, in bytes, from the largest process of it."""

    def __init__(self, service: Service) -> None:
        self._processes = service.processes()
        self.before = self._look()
        self.most = dict(self.before)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)

    def _look(self) -> dict[str, int]:
        return {part: max(sizes, default=0) for part, sizes in self._processes.memory().items()}

    def _keep_looking(self) -> None:
        while not self._over.wait(EVERY):
            for part, size in self._look().items():
                self.most[part] = max(self.most.get(part, 0), size)

    def growth(self, part: str) -> float:
        """Megabytes."""
        return (self.most[part] - self.before.get(part, 0)) / 1e6

    @contextmanager
    def watched(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()


def submission(service: Service, path: Path) -> dict[str, float]:
    """Seconds to the 202 and from there to the first answer, and megabytes by which the web has grown."""
    memory = Memory(service)
    with memory.watched():
        began = time.monotonic()
        with path.open("rb") as file:
            job = service.submit(file)
        accepted = time.monotonic()
        while not service.ended(job):
            pass
        first = time.monotonic()
    service.http.post(f"/jobs/{job['id']}/cancel").raise_for_status()
    return {"submit": accepted - began, "first": first - accepted, "web": memory.growth("web")}


def cost(service: Service, folder: Path, count: int) -> dict[str, Any]:
    """CPU milliseconds a record from its submission to its end, memory, and keys in Redis on the way."""
    path = write_lines(folder / f"{count}.jsonl", count)
    processes, memory = service.processes(), Memory(service)
    keys, broker = 0, redis.Redis.from_url(service.redis_url)
    before, began = processes.spent(), time.monotonic()
    with memory.watched():
        with path.open("rb") as file:
            job = service.submit(file)
        accepted = time.monotonic()
        while service.look(job)["status"] != "completed":
            keys = max(keys, sum(kept["keys"] for kept in broker.info("keyspace").values()))
            time.sleep(1)
    spent = processes.since(before)
    return {
        "records": count,
        "submit": accepted - began,
        "rate": count / (time.monotonic() - accepted),
        "cpu": {part: seconds / count * 1000 for part, seconds in spent.items()},
        "most": {part: size / 1e6 for part, size in memory.most.items()},
        "keys": keys,
    }


def beside_native(service: Service, folder: Path, count: int) -> None:
    """A batch of a file through OpenAI's contract, and the same requests through the native one."""
    ours, theirs = batch_files.write(folder, count)
    native = batch_files.native(service, ours)
    memory = Memory(service)
    with memory.watched():
        batch = batch_files.batch(service, theirs)
    print(
        f"a batch of a file of {count:,}: taken in {batch.taken:.1f} s, {batch.taken / native.taken:.2f}"
        f" times the native {native.taken:.1f} s; read in {batch.read:.1f} s,"
        f" {batch.read / native.read:.2f} times the native {native.read:.1f} s;"
        f" the web grew by {memory.growth('web'):.0f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=1_000_000, help="records of the large job; 0: none")
    parser.add_argument("--batch", type=int, default=100_000, help="requests of a batch of a file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, servers.provider() as upstream:
        folder = Path(name)
        path = write_lines(folder / "lines.jsonl", 100_000)
        with running(upstream, **AS_FAST_AS_IT_CAN) as service:
            for _ in range(asked.rounds):
                hand = by_hand(service.database, path)
                found = submission(service, path)
                print(
                    f"100,000 records: {found['submit']:.1f} s to the 202, {found['submit'] / hand:.1f} times"
                    f" the {hand:.1f} s by hand; first answer {found['first']:.2f} s later;"
                    f" the web grew by {found['web']:.0f} MB",
                    flush=True,
                )
            beside_native(service, folder, asked.batch)
        if not asked.large:
            return
        with running(upstream, **AS_FAST_AS_IT_CAN) as service:
            for count in (10_000, asked.large, 10_000):
                print(cost(service, folder, count), flush=True)


if __name__ == "__main__":
    main()
