"""Models behind the Open Inference Protocol v2: KServe, Triton, MLServer and others.

Items that are alike (the same model, rows of the same shape) and are asked at about the same time share one
call. Each has an `ask` of its own, with its row of the answer or its own copy of the call's failure.
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
from app.providers import refusals, registry
from app.providers.answers import parsed
from app.providers.client import Reply, Usage
from app.providers.inference import tensors
from app.providers.inference.batching import Answered, Batching, Item
from app.providers.inference.gathering import Gathering, Kind
from app.providers.inference.tensors import Output, Tensor
from app.providers.transport import CONNECT_SECONDS, PAGE_BEGINS, as_bytes, content, failure, refusal

METADATA_KEPT = 60.0  # seconds: a redeployed model may take another tensor
SUSPECTS = 10_000  # inputs remembered because a call with several of them was refused


class InferenceClient:
    """`app.providers.client.Client` for an inference server. Created, used and closed on one loop."""

    def __init__(self, url: str, batching: Callable[[], Batching]) -> None:
        """`url` is the operator's own; `batching` returns the settings in force."""
        self._url = url.rstrip("/")
        self._address = refusals.visible(self._url)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the limiter decides how many calls there are
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),  # `ask` limits the whole call
        )
        self._gathering = Gathering(batching)
        self._tensors: dict[str, tuple[Tensor, float]] = {}  # by model, with the monotonic time of expiry
        self._suspects: dict[bytes, None] = {}  # in the order of their refusals

    async def ask(self, params: dict[str, Any], *, deadline: float, attempt: int) -> Reply:
        """Ask about one item: `params` are its `model` and its `input`.

        An item that was refused together with others is asked by itself the next time, to find the bad one.
        """
        item = self._join(registry.INFERENCE.served_name(params["model"]), params["input"])
        try:
            async with asyncio.timeout(deadline):
                return await item.reply()
        except TimeoutError:
            late = TimedOut(f"no whole answer within the deadline of {deadline:g} s")
            late.address = self._address
            raise item.failure(late) from None
        except ProviderError as error:
            error.address = self._address
            raise

    async def close(self) -> None:
        await self._session.close()

    def _join(self, model: str, row: Any) -> Item:
        kind = Kind(model, tuple(tensors.shape_of(row)))
        send = partial(self._infer, kind)
        return self._gathering.join(kind, row, send, single=self._was_refused_together(model, row))

    async def _infer(self, kind: Kind, rows: Sequence[Any]) -> Answered:
        """Make one call for those of the rows, all of one kind, that the model's tensor can hold."""
        tensor = await self._tensor(kind.model)
        # Megabytes of numbers take a while to check and to encode: do not block the loop.
        misfits = await asyncio.to_thread(lambda: [tensors.misfit(row, tensor) for row in rows])
        fitting = [row for row, misfit in zip(rows, misfits, strict=True) if misfit is None]
        began = at = time.monotonic()
        answers: list[Reply] = []
        if fitting:
            answers, began, at = await self._ask_about(kind, tensor, fitting)
        replies = iter(answers)
        parts = [
            next(replies) if misfit is None else RequestRejected(misfit, type="invalid_input")
            for misfit in misfits
        ]
        return Answered(parts, len(fitting), at - began, at)

    async def _tensor(self, model: str) -> Tensor:
        tensor, until = self._tensors.get(model, (None, 0.0))
        if tensor is None or time.monotonic() > until:
            with _our_errors():
                tensor = tensors.of_model(await self._call("GET", f"/v2/models/{model}"))
            self._tensors[model] = tensor, time.monotonic() + METADATA_KEPT
        return tensor

    async def _ask_about(
        self, kind: Kind, tensor: Tensor, rows: Sequence[Any]
    ) -> tuple[list[Reply], float, float]:
        """The replies, and when the call began and was answered, on the monotonic clock."""
        call = str(uuid.uuid4())
        body = await asyncio.to_thread(lambda: as_bytes(tensors.request(call, tensor, kind.shape, rows)))
        began = time.monotonic()
        try:
            with _our_errors():
                answer = await self._call("POST", f"/v2/models/{kind.model}/infer", body)
                at = time.monotonic()
                return await asyncio.to_thread(_replies, answer, call, len(rows)), began, at
        except (RequestRejected, ServerFault) as error:
            self._tensors.pop(kind.model, None)
            if len(rows) == 1:
                raise
            self._suspect(kind.model, rows)
            if isinstance(error, ServerFault):
                raise
            raise RefusedTogether(error.message, request_id=error.request_id) from error

    def _was_refused_together(self, model: str, row: Any) -> bool:
        """Whether the item was in a call of several that was refused; it is forgotten once this is asked."""
        if not self._suspects or (mark := _mark(model, row)) not in self._suspects:
            return False
        del self._suspects[mark]
        return True

    def _suspect(self, model: str, rows: Sequence[Any]) -> None:
        self._suspects |= dict.fromkeys(_mark(model, row) for row in rows)
        while len(self._suspects) > SUSPECTS:
            del self._suspects[next(iter(self._suspects))]

    async def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """The object that the server returns; raises for a refusal, and `ValueError` for garbage."""
        options: dict[str, Any] = {}
        if body is not None:
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
            options = {"data": content(body), "headers": headers}
        async with self._session.request(
            method, self._url + path, allow_redirects=False, **options
        ) as response:
            answer = await response.read()
        if response.status != 200:
            raise refusals.read(response.status, refusal(answer), response.headers)
        if refusals.is_web_page(answer[:PAGE_BEGINS], response.headers):
            raise refusals.web_page(answer)
        return _read(answer, response.headers)


def _replies(answer: Mapping[str, Any], call: str, items: int) -> list[Reply]:
    return [_reply(answer, call, output) for output in tensors.outputs(answer, items)]


def _reply(answer: Mapping[str, Any], call: str, output: Output) -> Reply:
    """An item's reply; the id of the call shows in the ledger which items shared it."""
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


def _read(answer: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The content of what came with status 200; raises the error that a gateway's answer holds."""
    content: object = parsed(answer)
    is_result = isinstance(content, dict) and "outputs" in content
    if not is_result and (error := refusals.error_within(content)) is not None:
        raise refusals.read(200, error, headers)
    if isinstance(content, dict):
        return content
    raise ValueError("it is not a JSON object")


@contextmanager
def _our_errors() -> Iterator[None]:
    """Convert errors of the transport, and faults of an answer, into ours."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        raise failure(error, "the inference server") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as fault:
        raise BadAnswer(f"the inference server's answer cannot be read: {fault!r}") from fault
