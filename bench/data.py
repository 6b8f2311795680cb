"""What answers as data cost: fields that are checked, equal requests that are asked once, at any size."""

import json
import statistics
import tempfile
import time
from pathlib import Path

from bench import servers
from bench.memory import Memory
from bench.service import AS_FAST_AS_IT_CAN, Service, running
from bench.upstream import FIELDS

AS_DATA = {"fields": "\n".join(FIELDS), "dedupe": "true"}


def lines(path: Path, count: int, *, copies: float = 0.0, salt: str = "") -> Path:
    """JSON lines of 400 bytes; the share `copies` of them ask what an earlier one did."""
    with path.open("wb") as file:
        for number in range(count):
            asked = number // 2 if number % 100 < copies * 100 else number
            text = f"Classify review {salt}{asked}: great phone, bad battery. "
            file.write(json.dumps({"prompt": text.ljust(380, "x")}).encode() + b"\n")
    return path


def spent(service: Service, path: Path, count: int, **fields: str) -> float:
    """Milliseconds of processor time for a record, from its submission to its end."""
    processes = service.processes()
    before = processes.spent()
    with path.open("rb") as file:
        service.wait_for(service.submit(file, **fields))
    return sum(processes.since(before).values()) / count * 1000


def compared(count: int, rounds: int) -> str:
    """A job with fields and dedupe beside the same without, in turns."""
    ratios = []
    with (
        tempfile.TemporaryDirectory() as name,
        servers.provider() as upstream,
        running(upstream, **AS_FAST_AS_IT_CAN) as service,
    ):
        spent(service, lines(Path(name) / "warm", 2_000), 2_000)
        for number in range(rounds):
            path = lines(Path(name) / str(number), count, salt=f"{number}-")
            plain, data = spent(service, path, count), spent(service, path, count, **AS_DATA)
            ratios.append(data / plain)
    return (
        f"{count:,} records with fields and dedupe: {statistics.median(ratios):.2f} times the processor time"
        f" without, of {rounds} rounds {min(ratios):.2f} to {max(ratios):.2f}"
    )


def of_many(count: int) -> str:
    """Memory while so many records, of which 30 % are copies, are taken and asked: plainly, then as data."""
    return "\n".join(_most(count, **fields) for fields in ({}, AS_DATA))


def _most(count: int, **fields: str) -> str:
    with (
        tempfile.TemporaryDirectory() as name,
        servers.provider() as upstream,
        running(upstream, **AS_FAST_AS_IT_CAN) as service,
    ):
        path = lines(Path(name) / "many", count, copies=0.3)
        memory, began = Memory(service), time.monotonic()
        with memory.watched():
            with path.open("rb") as file:
                job = service.submit(file, **fields)
            taken = time.monotonic() - began
            found = service.wait_for(job)
        took = time.monotonic() - began
    most = ", ".join(f"{part} {size / 1e6:.0f}" for part, size in memory.most.items())
    saved = found["saved"]["dedupe"]["records"]
    return (
        f"{count:,} records, {saved:,} of them copies: taken in {taken:.0f} s, ended after {took:.0f} s;"
        f" at most, in MB: {most}"
    )
