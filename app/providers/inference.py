"""Models behind the Open Inference Protocol v2: KServe, Triton, MLServer and others.

Items that are alike (the same model, rows of the same lengths) and are asked at about the same time leave in
one call. Each stays an ask of its own, with its row of the answer or its own copy of the call's failure.
"""

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import aiohttp

from app.errors import (
    BadAnswer,
    ProviderError,
    RefusedTogether,
    RequestRejected,
    ServerFault,
    TimedOut,
)
from app.providers import refusals, registry, tensors
from app.providers.answers import parsed
from app.providers.batching import Batching, Call, Gathering
from app.providers.client import Reply, Usage
from app.providers.tensors import Output, Tensor
from app.providers.transport import CONNECT_SECONDS, as_bytes, content, failure, refusal

METADATA_KEPT = 60.0  # seconds: a model that is deployed anew may take another tensor
SUSPECTS = 10_000  # inputs that are remembered for having been refused in company


class InferenceClient:
    """`app.providers.client.Client` for an inference server. Made, used and closed on one loop."""

    def __init__(self, url: str, batching: Callable[[], Batching]) -> None:
        """`url` is the operator's own; `batching` says at any time what is in force."""
        self._url = url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # how many calls there are is the limiter's matter
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),  # `ask` bounds the whole
        )
        self._gathering = Gathering(batching)
        self._tensors: dict[str, tuple[Tensor, float]] = {}  # of models, until a monotonic time
        self._suspects: dict[bytes, None] = {}  # in the order of their refusals

    async def ask(self, params: dict[str, Any], *, deadline: float, attempt: int) -> Reply:
        """Ask about one item: `params` are its `model` and its `input`.

        An item that was refused in company is asked alone the next time: only that tells whose fault it was.
        """
        call, item = self._join(registry.INFERENCE.served_name(params["model"]), params["input"])
        try:
            async with asyncio.timeout(deadline):
                return await call.reply_to(item)
        except TimeoutError:
            late = TimedOut(f"no whole answer within the deadline of {deadline:g} s")
            raise call.failure(late) from None

    async def close(self) -> None:
        await self._session.close()

    def _join(self, model: str, row: Any) -> "tuple[Call, asyncio.Future[Reply]]":
        shape = tensors.shape_of(row)
        send = partial(self._infer, model, shape)
        if self._was_refused_in_company(model, row):
            return self._gathering.alone(row, send)
        return self._gathering.join((model, shape), row, send)

    async def _infer(
        self, model: str, shape: Sequence[int], rows: Sequence[Any]
    ) -> list[Reply | ProviderError]:
        """One call for the rows, all of `shape`, that the model's tensor can hold."""
        tensor = await self._tensor(model)
        # Megabytes of numbers take a while to look at and to write: not on the loop's time.
        misfits = await asyncio.to_thread(lambda: [tensors.misfit(row, tensor) for row in rows])
        fitting = [row for row, misfit in zip(rows, misfits, strict=True) if misfit is None]
        replies = iter(await self._ask_about(model, tensor, shape, fitting) if fitting else ())
        return [
            next(replies) if misfit is None else RequestRejected(misfit, type="invalid_input")
            for misfit in misfits
        ]

    async def _tensor(self, model: str) -> Tensor:
        tensor, until = self._tensors.get(model, (None, 0.0))
        if tensor is None or time.monotonic() > until:
            with _our_errors():
                tensor = tensors.of_model(await self._call("GET", f"/v2/models/{model}"))
            self._tensors[model] = tensor, time.monotonic() + METADATA_KEPT
        return tensor

    async def _ask_about(
        self, model: str, tensor: Tensor, shape: Sequence[int], rows: Sequence[Any]
    ) -> list[Reply]:
        call = str(uuid.uuid4())
        asked = await asyncio.to_thread(lambda: as_bytes(tensors.request(call, tensor, shape, rows)))
        try:
            with _our_errors():
                answer = await self._call("POST", f"/v2/models/{model}/infer", asked)
                return await asyncio.to_thread(_replies, answer, call, len(rows))
        except (RequestRejected, ServerFault) as error:
            self._tensors.pop(model, None)
            if len(rows) == 1:
                raise
            self._suspect(model, rows)
            if isinstance(error, ServerFault):
                raise
            raise RefusedTogether(error.message, request_id=error.request_id) from error

    def _was_refused_in_company(self, model: str, row: Any) -> bool:
        """Whether the item is one of those among whom a guilty one is; it is forgotten with the answer."""
        if not self._suspects or (mark := _mark(model, row)) not in self._suspects:
            return False
        del self._suspects[mark]
        return True

    def _suspect(self, model: str, rows: Sequence[Any]) -> None:
        self._suspects |= dict.fromkeys(_mark(model, row) for row in rows)
        while len(self._suspects) > SUSPECTS:
            del self._suspects[next(iter(self._suspects))]

    async def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """The object that the server answers with; raises for a refusal, and `ValueError` for garbage."""
        sent: dict[str, Any] = {}
        if body is not None:
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
            sent = {"data": content(body), "headers": headers}
        async with self._session.request(method, self._url + path, allow_redirects=False, **sent) as response:
            answer = await response.read()
        if response.status != 200:
            raise refusals.read(response.status, refusal(answer), response.headers)
        return _read(answer)


def _replies(answer: Mapping[str, Any], call: str, items: int) -> list[Reply]:
    return [_reply(answer, call, output) for output in tensors.outputs(answer, items)]


def _reply(answer: Mapping[str, Any], call: str, output: Output) -> Reply:
    """An item's reply; the id of its call says in the ledger which items went together."""
    body = {
        "type": "inference",
        "model": answer.get("model_name"),
        "model_version": answer.get("model_version"),
        "output": output.value,
        "confidence": output.confidence,
    }
    text = output.value if isinstance(output.value, str) else json.dumps(output.value)
    return Reply(body=as_bytes(body), usage=Usage(), request_id=call, text=text)


def _mark(model: str, row: Any) -> bytes:
    return hashlib.sha256(json.dumps([model, row]).encode()).digest()


def _read(answer: bytes) -> dict[str, Any]:
    found: object = parsed(answer)
    if isinstance(found, dict):
        return found
    raise ValueError("it is no JSON object")


@contextmanager
def _our_errors() -> Iterator[None]:
    """Turn what the transport raises, and what is wrong with an answer, into our tree."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        raise failure(error, "the inference server") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as fault:
        raise BadAnswer(f"the inference server's answer cannot be read: {fault!r}") from fault
