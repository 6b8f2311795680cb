"""A large job through the doors of other APIs, beside the same requests as lines through the native one."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.memory import Memory
from bench.service import MODEL, Job, Service

MESSAGE_BATCHES, FILES, BATCHES = "/v1/messages/batches", "/v1/files", "/v1/batches"
WINDOW = {"endpoint": "/v1/messages", "completion_window": "24h"}
READS = 2  # of which the faster counts
PIECE = 1_000_000  # bytes that are sent, or read, at a time


@dataclass(frozen=True)
class Door:
    """How a file of requests is written for a door, sent to it and answered by it."""

    name: str
    write: Callable[[Path, int], Path]
    send: Callable[[Service, Path], Job]  # the job as the native door has it
    results: Callable[[Service, Job], str]  # the path of its lines


def request(number: int) -> dict[str, Any]:
    """About 400 bytes, as those of the other measurement."""
    text = f"Classify review {number}: great phone, bad battery. ".ljust(260, "x")
    params = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": text}]}
    return {"custom_id": f"review-{number}", "params": params}


def write_lines(path: Path, count: int) -> Path:
    with path.open("w") as file:
        file.writelines(json.dumps(request(number)) + "\n" for number in range(count))
    return path


def write_batch(path: Path, count: int) -> Path:
    with path.open("w") as file:
        file.write('{"requests": [')
        file.writelines(f"{', ' if number else ''}{json.dumps(request(number))}" for number in range(count))
        file.write("]}")
    return path


def send_lines(service: Service, path: Path) -> Job:
    with path.open("rb") as file:
        return service.submit(file)


def send_batch(service: Service, path: Path) -> Job:
    headers = {"content-type": "application/json", "content-length": str(path.stat().st_size)}
    answer = service.http.post(service.address + MESSAGE_BATCHES, content=_pieces(path), headers=headers)
    assert answer.status_code == 200, answer.text
    return service.look({"id": answer.json()["penstock"]["job_id"]})


def write_file(path: Path, count: int) -> Path:
    with path.open("w") as file:
        for number in range(count):
            asked = request(number)
            line = {"custom_id": asked["custom_id"], "method": "POST", "url": WINDOW["endpoint"]}
            file.write(json.dumps(line | {"body": asked["params"]}) + "\n")
    return path


def send_file(service: Service, path: Path) -> Job:
    with path.open("rb") as content:
        form = {"files": {"file": ("batch.jsonl", content)}, "data": {"purpose": "batch"}}
        file = service.http.post(service.address + FILES, **form).raise_for_status().json()
    asked = {**WINDOW, "input_file_id": file["id"]}
    made = service.http.post(service.address + BATCHES, json=asked).raise_for_status().json()
    return service.look({"id": made["penstock"]["job_id"]})


def output_file(service: Service, job: Job) -> str:
    batch = service.http.get(f"{service.address}{BATCHES}/{job['id']}").raise_for_status().json()
    return f"{FILES}/{batch['output_file_id']}/content"


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


NATIVE = Door(
    "native", write_lines, send_lines, lambda service, job: f"/api/v1/jobs/{job['id']}/results?format=jsonl"
)
OTHERS = (
    Door(
        "Message Batches",
        write_batch,
        send_batch,
        lambda service, job: f"{MESSAGE_BATCHES}/{job['id']}/results",
    ),
    Door("batches of files", write_file, send_file, output_file),
)


def measured(service: Service, door: Door, folder: Path, count: int) -> dict[str, float]:
    """Seconds until a job was taken and to read its results, and megabytes by which the web has grown.

    Its results are read natively too, in turn with the door: until the database has gathered statistics of
    what is new, it reads any of it more slowly.
    """
    path = door.write(folder / f"{count}.{door.name.replace(' ', '-')}", count)
    found: dict[str, float] = {}
    sending = Memory(service)
    with sending.watched():
        began = time.monotonic()
        job = door.send(service, path)
        found["in"] = time.monotonic() - began
    service.wait_for(job)
    reading = Memory(service)
    with reading.watched():
        for way, read in (("out", door), ("native out", NATIVE)) * READS:
            began = time.monotonic()
            assert _lines(service, read.results(service, job)) == count
            found[way] = min(found.get(way, math.inf), time.monotonic() - began)
    return found | {"web in": sending.growth("web"), "web out": reading.growth("web")}


def _lines(service: Service, path: str) -> int:
    with service.http.stream("GET", service.address + path) as answer:
        answer.raise_for_status()
        return sum(piece.count(b"\n") for piece in answer.iter_bytes(PIECE))


def rows(service: Service, folder: Path, count: int) -> Iterator[str]:
    """A line for each door besides the native one."""
    native = measured(service, NATIVE, folder, count)
    for door in OTHERS:
        found = measured(service, door, folder, count)
        ways = "; ".join(
            f"{word} {found[way]:.1f} s, {found[way] / usual:.2f} times the {usual:.1f} s of the"
            f" native door, the web grew by {found[f'web {way}']:.0f} MB ({native[f'web {way}']:.0f})"
            for word, way, usual in (("sent in", "in", native["in"]), ("read in", "out", found["native out"]))
        )
        yield f"{count:,} requests through {door.name}: {ways}"
