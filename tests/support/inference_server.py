"""A real HTTP server of the Open Inference Protocol v2, with models, faults and books of its own.

Its models: `double` doubles the numbers of a row, `loud` takes one text and shouts it, `likely` makes a
probability vector of a row, `sure` says how sure it is in a second output.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

TENSORS = {
    "double": ("x", "FP32", [-1, -1]),
    "loud": ("text", "BYTES", [-1]),
    "likely": ("x", "FP32", [-1, -1]),
    "sure": ("x", "INT64", [-1, -1]),
}


@dataclass
class Book:
    """What has arrived, and what goes wrong with the next calls."""

    calls: list[dict[str, Any]] = field(default_factory=list)  # each with `model`, `shape`, `data`
    disconnected: int = 0  # callers that left before their answer
    fault: dict[str, Any] = field(default_factory=dict)
    poison: Any = None  # a value that no model stands: the whole call is refused with 400
    seconds: float = 0.0  # that a call takes
    cost: Callable[[int], float] | None = (
        None  # seconds that a call of so many items takes, in place of `seconds`
    )
    limit: int | None = None  # items of a call; one of more is refused with 400
    gate: asyncio.Semaphore | None = None  # how many calls are worked on at once; None: all

    @property
    def sizes(self) -> list[int]:
        """Items of each call."""
        return [call["shape"][0] for call in self.calls]


class InferenceServer:
    """Use it as a context manager; it listens in a thread of its own."""

    def __init__(self) -> None:
        self.book = Book()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def reset(self) -> None:
        self.book = Book()

    async def _listen(self) -> str:
        app = web.Application(client_max_size=2**28, handler_args={"handler_cancellation": True})
        app.add_routes(
            [
                web.get("/v2/models/{model}", self._describe),
                web.post("/v2/models/{model}/infer", self._infer),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _describe(self, request: web.Request) -> web.Response:
        model = request.match_info["model"]
        if model not in TENSORS:
            return web.json_response({"error": f"Model {model} not found"}, status=404)
        name, datatype, shape = TENSORS[model]
        inputs = [{"name": name, "datatype": datatype, "shape": shape}]
        return web.json_response({"name": model, "platform": "", "inputs": inputs, "outputs": []})

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        model, asked = request.match_info["model"], await request.json()
        tensor = asked["inputs"][0]
        book = self.book
        book.calls.append({"model": model, "shape": tensor["shape"], "data": tensor["data"]})
        items = tensor["shape"][0]
        if book.limit is not None and items > book.limit:
            return web.json_response({"error": f"at most {book.limit} items"}, status=400)
        try:
            async with book.gate or contextlib.nullcontext():
                await asyncio.sleep(book.seconds if book.cost is None else book.cost(items))
        except asyncio.CancelledError:
            book.disconnected += 1
            raise
        if (response := await self._go_wrong(request)) is not None:
            return response
        if book.poison in tensor["data"]:
            return web.json_response({"error": f"{book.poison} is poison"}, status=400)
        return web.json_response(
            {"model_name": model, "model_version": "1", "id": asked["id"], "outputs": answer(model, tensor)}
        )

    async def _go_wrong(self, request: web.Request) -> web.StreamResponse | None:
        fault = self.book.fault
        if "status" in fault:
            return web.json_response(
                {"error": "told to fail"}, status=fault["status"], headers=fault.get("headers")
            )
        if "body" in fault:
            return web.Response(text=fault["body"], headers=fault.get("headers"))
        if "cut" in fault:
            if fault["cut"] == "midway":
                response = web.StreamResponse(headers={"Content-Length": "1000"})
                await response.prepare(request)
                await response.write(b'{"outputs":')
            assert request.transport is not None
            request.transport.abort()
        return None


def answer(model: str, tensor: dict[str, Any]) -> list[dict[str, Any]]:
    """The outputs of a model, their data flat or nested as protocol and servers have it."""
    shape, data = tensor["shape"], tensor["data"]
    if model == "loud":
        return [_output("shout", "BYTES", shape, [text.upper() for text in data])]
    size = len(data) // shape[0]
    rows = [data[start : start + size] for start in range(0, len(data), size)]
    if model == "likely":
        return [_output("p", "FP32", shape, [[x / sum(row) for x in row] for row in rows])]
    doubled = _output("doubled", tensor["datatype"], shape, [2 * x for x in data])
    if model == "sure":
        return [doubled, _output("confidence", "FP32", [shape[0], 1], [0.5 + row[0] / 100 for row in rows])]
    return [doubled]


def _output(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return json.loads(json.dumps({"name": name, "datatype": datatype, "shape": shape, "data": data}))
