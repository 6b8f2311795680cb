"""Clients of providers under test, and how to make their providers misbehave."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from app import errors
from app.providers.anthropic import AnthropicClient
from app.providers.client import Client, Reply
from app.providers.inference.batching import Batching
from app.providers.inference.client import InferenceClient
from app.providers.openai import OpenAIClient
from app.providers.simulated import SimulatedClient
from config.endpoints import Endpoint, versioned
from tests.support.inference_server import InferenceServer
from tests.support.servers import free_port
from tests.support.upstream import Upstream

KEY = "sk-ant-contract-test"
OPENAI_KEY = "sk-proj-contract-test"


class Subject:
    """One client on its loop, and how to make its provider misbehave."""

    def __init__(self, client: Client, runner: asyncio.Runner, **defaults: Any) -> None:
        self.client = client
        self.runner = runner
        self.defaults = defaults

    def ask(self, *, deadline: float = 30, attempt: int = 1, **params: Any) -> Reply:
        return self.runner.run(self.client.ask(self.request(**params), deadline=deadline, attempt=attempt))

    def refusal(self, *, deadline: float = 30, **params: Any) -> errors.ProviderError:
        with pytest.raises(errors.ProviderError) as refused:
            self.ask(deadline=deadline, **params)
        return refused.value

    def request(self, **params: Any) -> dict[str, Any]:
        asked = {"max_tokens": 100, "messages": [{"role": "user", "content": "How was the soup?"}]}
        return asked | self.defaults | params

    def numbered(self, number: int) -> dict[str, Any]:
        """A request that names its number."""
        return self.request(messages=[{"role": "user", "content": f"number {number}"}])

    def names(self, reply: Reply, number: int) -> bool:
        """Whether a reply is the one to the request of this number."""
        return reply.text.endswith(f"to: number {number}")

    def misbehave(self, kind: type[errors.ProviderError]) -> None:
        raise NotImplementedError

    def slow_down(self, seconds: float) -> None:
        raise NotImplementedError


class Simulated(Subject):
    def __init__(self, runner: asyncio.Runner) -> None:
        super().__init__(SimulatedClient(), runner, model="simulated")

    def misbehave(self, kind: type[errors.ProviderError]) -> None:
        self.defaults["simulate"] = {"error": kind.type}

    def slow_down(self, seconds: float) -> None:
        self.defaults["simulate"] = {"latency_ms": seconds * 1000}


def claude_at(url: str, runner: asyncio.Runner) -> AnthropicClient:
    """A client that is made on the loop on which it is used."""

    async def made() -> AnthropicClient:
        return AnthropicClient(KEY, url)

    return runner.run(made())


class Anthropic(Subject):
    at: ClassVar[Callable[[str, asyncio.Runner], AnthropicClient | OpenAIClient]] = staticmethod(claude_at)
    MODEL = "claude-haiku-4-5"
    FAULTS: ClassVar[dict[type[errors.ProviderError], dict[str, Any]]] = {
        errors.AccountRefused: {"kind": "status", "status": 402},
        errors.RateLimited: {"kind": "status", "status": 429},
        errors.Overloaded: {"kind": "status", "status": 529},
        errors.RequestRejected: {"kind": "status", "status": 400},
        errors.ServerFault: {"kind": "status", "status": 500},
        errors.ConnectionCut: {"kind": "cut"},
        errors.BadAnswer: {"kind": "body", "body": "no answer"},
        errors.Misdirected: {"kind": "html"},
    }

    def __init__(self, runner: asyncio.Runner, upstream: Upstream) -> None:
        super().__init__(self.at(upstream.url, runner), runner, model=self.MODEL)
        self.upstream = upstream

    def misbehave(self, kind: type[errors.ProviderError]) -> None:
        if kind is errors.Unreachable:
            self.runner.run(self.client.close())
            self.client = self.at(f"http://127.0.0.1:{free_port()}", self.runner)
        else:
            self.upstream.configure(faults=[self.FAULTS[kind]])

    def slow_down(self, seconds: float) -> None:
        self.upstream.configure(latency_ms=seconds * 1000)

    def fault(self, **fault: Any) -> None:
        self.upstream.configure(faults=[fault])


def openai_at(url: str, runner: asyncio.Runner, key: str | None = OPENAI_KEY, **row: Any) -> OpenAIClient:
    """A client that is made on the loop on which it is used."""
    endpoint = Endpoint(
        **{"name": "openai", "models": ("*",), "key": "A_KEY", **row, "base_url": versioned(url)}
    )

    async def made() -> OpenAIClient:
        return OpenAIClient(replace(endpoint, key_value=key))

    return runner.run(made())


class OpenAI(Anthropic):
    """An endpoint that speaks as OpenAI does, and misbehaves as Claude's server does."""

    FAULTS = Anthropic.FAULTS | {errors.Overloaded: {"kind": "status", "status": 503}}
    at = staticmethod(openai_at)
    MODEL = "gpt-4o-mini"


class Inference(Subject):
    FAULTS: ClassVar[dict[type[errors.ProviderError], dict[str, Any]]] = {
        errors.AccountRefused: {"status": 401},
        errors.RateLimited: {"status": 429, "headers": {"Retry-After": "3"}},
        errors.Overloaded: {"status": 503},
        errors.RequestRejected: {"status": 400},
        errors.ServerFault: {"status": 500},
        errors.ConnectionCut: {"cut": "at once"},
        errors.BadAnswer: {"body": "no answer"},
        errors.Misdirected: {"body": "<html>"},
    }

    def __init__(self, runner: asyncio.Runner, server: InferenceServer, **batching: Any) -> None:
        self.batching = Batching(64, 20, True, False)
        self.server = server
        client = runner.run(self._made(server.url))
        super().__init__(client, runner, model="inference:double", input=[1.0, 2.0])

    async def _made(self, url: str) -> InferenceClient:
        return InferenceClient(url, lambda: self.batching)

    def request(self, **params: Any) -> dict[str, Any]:
        return self.defaults | params

    def numbered(self, number: int) -> dict[str, Any]:
        return self.request(input=[number, number])

    def names(self, reply: Reply, number: int) -> bool:
        return json.loads(reply.text) == [2 * number, 2 * number]

    def ask_all(self, *inputs: Any, **params: Any) -> list[Reply | BaseException]:
        """Ask about all of them at the same time."""

        async def ask() -> list[Reply | BaseException]:
            asking = [
                self.client.ask(self.request(input=row, **params), deadline=30, attempt=1) for row in inputs
            ]
            return await asyncio.gather(*asking, return_exceptions=True)

        return self.runner.run(ask())

    def misbehave(self, kind: type[errors.ProviderError]) -> None:
        if kind is errors.Unreachable:
            self.runner.run(self.client.close())
            self.client = self.runner.run(self._made(f"http://127.0.0.1:{free_port()}"))
        else:
            self.server.book.fault = self.FAULTS[kind]

    def slow_down(self, seconds: float) -> None:
        self.server.book.seconds = seconds
