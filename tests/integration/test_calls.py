"""One call at a time, through the official SDKs: answered, streamed and refused as their APIs do."""

from collections.abc import Iterator

import anthropic
import pytest

from tests.support.stack import Stack
from tests.support.web_process import WebProcess, web_process

pytestmark = pytest.mark.one_database

ASKED = [{"role": "user", "content": "Why is the sky blue?"}]


@pytest.fixture(scope="module")
def web(running: Stack) -> Iterator[WebProcess]:
    with web_process(running.environment, running.folder, 100) as served:
        yield served


@pytest.fixture
def claude(web: WebProcess, running: Stack) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=web.url, api_key=running.key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", ["simulated", "claude-haiku-4-5"])
def test_a_message_is_answered(claude, upstream, model):
    message = claude.messages.create(model=model, max_tokens=100, messages=ASKED)

    assert "sky" in message.content[0].text
    assert message.usage.output_tokens > 0


@pytest.mark.parametrize("model", ["simulated", "claude-haiku-4-5"])
def test_a_message_is_streamed(claude, upstream, model):
    with claude.messages.stream(model=model, max_tokens=100, messages=ASKED) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()

    assert "sky" in text
    assert message.content[0].text == text
    assert message.usage.output_tokens > 0
