"""What a batch costs through OpenAI's contract: uploaded, made and read, beside the native one."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from bench.service import MODEL, Service

WINDOW = {"endpoint": "/v1/messages", "completion_window": "24h"}
LINE = 300  # characters of a prompt


@dataclass(frozen=True)
class Took:
    """Seconds from the first byte to the job's id, and from the question to the last byte of its answers."""

    taken: float
    read: float


def write(folder: Path, count: int) -> tuple[Path, Path]:
    """The same requests as a file of the native contract and as one of OpenAI's."""
    native, other = folder / "native.jsonl", folder / "batch.jsonl"
    with native.open("w") as ours, other.open("w") as theirs:
        for number in range(count):
            text = f"Classify review {number}: great phone, bad battery. ".ljust(LINE, "x")
            body = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": text}]}
            ours.write(json.dumps({"custom_id": f"r{number}", "params": body}) + "\n")
            line = {"custom_id": f"r{number}", "method": "POST", "url": WINDOW["endpoint"], "body": body}
            theirs.write(json.dumps(line) + "\n")
    return native, other


def native(service: Service, path: Path) -> Took:
    began = time.monotonic()
    with path.open("rb") as file:
        job = service.submit(file)
    taken = time.monotonic() - began
    service.wait_for(job)
    return Took(taken, _read(service, f"/api/v1/jobs/{job['id']}/results?format=jsonl"))


def batch(service: Service, path: Path) -> Took:
    began = time.monotonic()
    with path.open("rb") as content:
        form = {"files": {"file": ("batch.jsonl", content)}, "data": {"purpose": "batch"}}
        file = service.http.post(f"{service.address}/v1/files", **form).raise_for_status().json()
    asked = {**WINDOW, "input_file_id": file["id"]}
    made = service.http.post(f"{service.address}/v1/batches", json=asked).raise_for_status().json()
    taken = time.monotonic() - began
    service.wait_for({"id": made["penstock"]["job_id"]})
    ended = service.http.get(f"{service.address}/v1/batches/{made['id']}").raise_for_status().json()
    return Took(taken, _read(service, f"/v1/files/{ended['output_file_id']}/content"))


def _read(service: Service, path: str) -> float:
    began = time.monotonic()
    with service.http.stream("GET", service.address + path) as answer:
        answer.raise_for_status()
        for _ in answer.iter_bytes():
            pass
    return time.monotonic() - began
