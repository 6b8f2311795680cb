"""What a large job costs: sending 100,000 records, the same through the doors of other APIs, and a record of
a million beside one of ten thousand.

The submission is compared with what it cannot do without: parsing the file and COPYing its rows, by hand,
into the same tables. Memory is what each process has for itself alone.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import redis

from bench import data, doors, servers
from bench.memory import Memory
from bench.service import AS_FAST_AS_IT_CAN, Service, running

LINE = 400  # bytes


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


def round_of(service: Service, path: Path) -> str:
    hand = by_hand(service.database, path)
    found = submission(service, path)
    return (
        f"100,000 records: {found['submit']:.1f} s to the 202, {found['submit'] / hand:.1f} times"
        f" the {hand:.1f} s by hand; first answer {found['first']:.2f} s later;"
        f" the web grew by {found['web']:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=1_000_000, help="records of the large job; 0: none")
    parser.add_argument("--doors", type=int, default=100_000, help="requests for each door; 0: none")
    parser.add_argument("--data", type=int, default=20_000, help="records with fields and dedupe; 0: none")
    asked = parser.parse_args()
    if asked.data:
        print(data.compared(asked.data, asked.rounds or 1), flush=True)
        if asked.large:
            print(data.of_many(asked.large), flush=True)
    with tempfile.TemporaryDirectory() as name, servers.provider() as upstream:
        folder = Path(name)
        if asked.rounds:
            path = write_lines(folder / "lines.jsonl", 100_000)
            with running(upstream, **AS_FAST_AS_IT_CAN) as service:
                for _ in range(asked.rounds):
                    print(round_of(service, path), flush=True)
        if asked.doors:
            with running(upstream, **AS_FAST_AS_IT_CAN) as service:
                for row in doors.rows(service, folder, asked.doors):
                    print(row, flush=True)
        if not asked.large:
            return
        with running(upstream, **AS_FAST_AS_IT_CAN) as service:
            for count in (10_000, asked.large, 10_000):
                print(cost(service, folder, count), flush=True)


if __name__ == "__main__":
    main()
