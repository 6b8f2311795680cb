"""A client of each provider, on a loop of the test's own."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop

from tests.support.inference_server import InferenceServer
from tests.support.openai_upstream import OpenAIUpstream
from tests.support.provider_subjects import Anthropic, Inference, OpenAI, Simulated, Subject
from tests.support.upstream import Upstream


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop of a worker
        yield runner


@pytest.fixture
def simulated(runner: asyncio.Runner) -> Iterator[Simulated]:
    subject = Simulated(runner)
    yield subject
    runner.run(subject.client.close())


@pytest.fixture
def claude(runner: asyncio.Runner, upstream: Upstream) -> Iterator[Anthropic]:
    subject = Anthropic(runner, upstream)
    yield subject
    runner.run(subject.client.close())


@pytest.fixture(scope="module")
def openai_process() -> Iterator[OpenAIUpstream]:
    with OpenAIUpstream() as provider:
        yield provider


@pytest.fixture
def openai_upstream(openai_process: OpenAIUpstream) -> OpenAIUpstream:
    """A provider that speaks as OpenAI does, behaves well and has empty books."""
    openai_process.reset()
    return openai_process


@pytest.fixture
def openai(runner: asyncio.Runner, openai_upstream: OpenAIUpstream) -> Iterator[OpenAI]:
    subject = OpenAI(runner, openai_upstream)
    yield subject
    runner.run(subject.client.close())


@pytest.fixture(scope="module")
def inference_server() -> Iterator[InferenceServer]:
    with InferenceServer() as server:
        yield server


@pytest.fixture
def inference(runner: asyncio.Runner, inference_server: InferenceServer) -> Iterator[Inference]:
    inference_server.reset()
    subject = Inference(runner, inference_server)
    yield subject
    runner.run(subject.client.close())


@pytest.fixture(params=["simulated", "claude", "openai", "inference"])
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["simulated", "claude"])
def speaker(request: pytest.FixtureRequest) -> Subject:
    """A client of a language model."""
    found: Subject = request.getfixturevalue(request.param)
    return found
