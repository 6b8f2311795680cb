"""The free provider: it invents answers, visibly, and misbehaves on request.

The same request always gets the same answer. An object `simulate` in the request (a job's `params` reach
every record) controls its behaviour; docs/rehearsal.md describes it for users.
"""

import asyncio
import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from app import errors
from app.providers import answers, openai_answers, openai_requests, sample, simulated_openai
from app.providers.client import NO_HEADERS, Reply, Usage
from app.providers.streams import forms
from app.providers.streams.form import visible

CHARACTERS_PER_TOKEN = 4
CERTAIN = 10_000  # parts of a likelihood of 1

FAILURES: dict[str, type[errors.ProviderError]] = {
    kind.type: kind
    for kind in (
        errors.AccountRefused,
        errors.RateLimited,
        errors.Overloaded,
        errors.Unreachable,
        errors.RequestRejected,
        errors.ServerFault,
        errors.TimedOut,
        errors.ConnectionCut,
        errors.BadAnswer,
        errors.Misdirected,
    )
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """The behaviour that `simulate` requests."""

    latency_ms: float = 10  # the median time of a call
    latency_sigma: float = 0.4  # of the lognormal distribution of times; 0 if `latency_ms` is given
    output_tokens: int | None = None  # None: a short sentence
    error: str | None = None  # the `type` of a `ProviderError` to raise instead of an answer
    share: float = 1  # of the records, chosen by their content
    times: int | None = None  # of a record's attempts, the first so many fail; None: all

    def latency(self, chance: random.Random) -> float:
        """Seconds that a call takes."""
        return self.latency_ms / 1000 * math.exp(chance.gauss(0, self.latency_sigma))

    def failure(self, chance: random.Random, attempt: int) -> errors.ProviderError | None:
        """The error of this attempt, if it fails."""
        chosen = chance.random() < self.share
        if self.error is None or not chosen or (self.times is not None and attempt > self.times):
            return None
        return FAILURES[self.error]("[simulated] failed as asked")


class SimulatedClient:
    """`app.providers.client.Client` without a provider behind it."""

    async def ask(
        self,
        params: dict[str, Any],
        *,
        deadline: float,
        attempt: int,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Reply:
        whole = params["body"] if "url" in params else params
        wishes = _read_wishes(whole.get("simulate"))
        request = {name: value for name, value in whole.items() if name != "simulate"}
        digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        chance = random.Random(digest)  # noqa: S311  repeatable on purpose
        id = f"req_sim_{digest[:24]}"
        if "url" in params:
            reply = _whole(params["url"], request, wishes, digest, chance, id)
        else:
            reply = _row(id, chance) if "input" in request else _reply(request, wishes, digest, chance, id)
        failure = wishes.failure(chance, attempt)
        await _wait(wishes.latency(chance), deadline)
        if failure is not None:
            raise failure
        return reply

    async def stream(
        self,
        params: dict[str, Any],
        *,
        deadline: float,
        attempt: int,
        hand_on: Callable[[bytes], None],
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Reply:
        """The answer in events that are evenly spread over the time that the call takes."""
        whole, began = params["body"] if "url" in params else params, time.monotonic()
        wishes = _read_wishes(whole.get("simulate"))
        whole = {**whole, "simulate": {**(whole.get("simulate") or {}), "latency_ms": 0}}
        at_once = {**params, "body": whole} if "url" in params else whole
        reply = await self.ask(at_once, deadline=deadline, attempt=attempt)
        events = list(visible(forms.of(params), answers.parsed(reply.body)))
        pause = wishes.latency_ms / 1000 / len(events)
        for event in events:
            await _wait(pause, began + deadline - time.monotonic())
            hand_on(event)
        return reply

    async def close(self) -> None:
        """Nothing to close."""


async def _wait(seconds: float, deadline: float) -> None:
    try:
        async with asyncio.timeout(deadline):
            await asyncio.sleep(seconds)
    except TimeoutError:
        raise errors.TimedOut(f"[simulated] no answer within the deadline of {deadline:g} s") from None


def _row(id: str, chance: random.Random) -> Reply:
    """An answer to an `input`, in the form of an inference server's: the likelihoods of three classes."""
    low, high = sorted(chance.randint(0, CERTAIN) for _ in range(2))
    output = [part / CERTAIN for part in (low, high - low, CERTAIN - high)]
    body = {"type": "inference", "model": "simulated", "model_version": None, "simulated": True}
    return Reply(
        body=_json(body | {"output": output, "confidence": None}),
        usage=Usage(),
        request_id=id,
        text=json.dumps(output),
    )


def _reply(request: Mapping[str, Any], wishes: Wishes, digest: str, chance: random.Random, id: str) -> Reply:
    return answers.read(_json(_message(request, wishes, digest, chance)), id)


def _whole(
    url: str, body: Mapping[str, Any], wishes: Wishes, digest: str, chance: random.Random, id: str
) -> Reply:
    """An answer to a request for a path of an OpenAI-compatible API, in the shape of that path."""
    if url == openai_requests.EMBEDDINGS:
        answer = simulated_openai.embeddings_of(body, digest)
    else:
        message = _message(simulated_openai.request_of(url, body), wishes, digest, chance)
        answer = simulated_openai.answer_of(url, body, _json(message))
    return openai_answers.read(_json(answer), {"x-request-id": id})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _message(
    request: Mapping[str, Any], wishes: Wishes, digest: str, chance: random.Random
) -> dict[str, Any]:
    messages, max_tokens = request.get("messages"), request.get("max_tokens")
    if not isinstance(messages, list) or not messages:
        raise _rejected("messages: a list with at least one message is needed")
    if type(max_tokens) is not int or max_tokens < 1:
        raise _rejected(f"max_tokens: a whole number from 1 is needed, found {max_tokens!r}")
    whole = _answer(request, wishes, digest, chance)
    text = whole[: max_tokens * CHARACTERS_PER_TOKEN]
    return {
        "id": f"msg_sim_{digest[:24]}",
        "type": "message",
        "role": "assistant",
        "model": "simulated",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn" if text == whole else "max_tokens",
        "stop_sequence": None,
        "usage": {
            "input_tokens": input_tokens(request),
            "output_tokens": _tokens(text),
        },
    }


def input_tokens(request: Mapping[str, Any]) -> int:
    """How many tokens are counted for a request."""
    return _tokens(json.dumps([request.get(name) for name in ("system", "messages", "tools")]))


def _answer(request: Mapping[str, Any], wishes: Wishes, digest: str, chance: random.Random) -> str:
    schema = _schema(request)
    if schema is not None:
        return json.dumps(_fit(schema, chance), ensure_ascii=False)
    question = " ".join(_last_text(request["messages"]).split())
    text = f"[simulated] answer {digest[:6]} to: {question[:60]}"
    if wishes.output_tokens is None:
        return text
    length = wishes.output_tokens * CHARACTERS_PER_TOKEN
    return text.ljust(length, ".")[:length]


def _schema(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema that a structured answer should fit."""
    config = request.get("output_config")
    form = config.get("format") if isinstance(config, Mapping) else None
    if not isinstance(form, Mapping) or form.get("type") != "json_schema":
        return None
    schema = form.get("schema")
    if not isinstance(schema, Mapping):
        raise _rejected(f"output_config.format.schema: a JSON schema is needed, found {schema!r}")
    return schema


def _fit(schema: Mapping[str, Any], chance: random.Random) -> Any:
    try:
        return sample.fit(schema, chance)
    except (
        ArithmeticError,
        AttributeError,
        IndexError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
    ) as fault:
        raise _rejected(f"output_config.format.schema: cannot be followed ({fault!r})") from fault


def _last_text(messages: list[Any]) -> str:
    """The text of the last message."""
    content = messages[-1].get("content") if isinstance(messages[-1], Mapping) else None
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return " ".join(str(block.get("text", "")) for block in blocks if isinstance(block, Mapping))


def _tokens(text: str) -> int:
    return max(1, math.ceil(len(text) / CHARACTERS_PER_TOKEN))


def _read_wishes(simulate: object) -> Wishes:
    """The wishes in `simulate`; unknown names and values are refused, as a provider would do."""
    if simulate is None:
        return Wishes()
    if not isinstance(simulate, dict):
        raise _rejected(f"simulate: an object is needed, found {simulate!r}")
    for name, value in simulate.items():
        _check(name, value)
    if "latency_ms" in simulate:
        simulate = {"latency_sigma": 0} | simulate
    return Wishes(**simulate)


_RANGES: dict[str, tuple[type[int] | type[float], int, int]] = {
    "latency_ms": (float, 0, 3_600_000),
    "latency_sigma": (float, 0, 5),
    "output_tokens": (int, 1, 1_000_000),
    "share": (float, 0, 1),
    "times": (int, 0, 1_000),
}


def _check(name: str, value: object) -> None:
    if name == "error":
        if not isinstance(value, str) or value not in FAILURES:
            raise _rejected(f"simulate.error: one of {', '.join(FAILURES)} is needed, found {value!r}")
        return
    if name not in _RANGES:
        known = ", ".join(field.name for field in fields(Wishes))
        raise _rejected(f"simulate.{name}: not known; known are {known}")
    kind, low, high = _RANGES[name]
    numbers = (int,) if kind is int else (int, float)
    if not isinstance(value, numbers) or isinstance(value, bool) or not low <= value <= high:
        what = "whole number" if kind is int else "number"
        raise _rejected(f"simulate.{name}: a {what} from {low} to {high} is needed, found {value!r}")


def _rejected(message: str) -> errors.RequestRejected:
    return errors.RequestRejected(message, type="invalid_request_error")
