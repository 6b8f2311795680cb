"""`penstock run` against a provider that answers nothing: what it says, when it ends, and how it goes on."""

from pathlib import Path

import pytest

from tests.support.commands import Command
from tests.support.servers import free_port

PROMPT = "Say it in one word: {{ review }}"


@pytest.fixture
def penstock(tmp_path):
    """Run a command to its end on a data directory of this test's own; returns it."""
    started: list[Command] = []

    def run(*arguments: str, **environment: str) -> Command:
        started.append(Command(arguments, tmp_path / "data", **environment))
        started[-1].ends()
        return started[-1]

    yield run
    for command in started:
        command.clear_away()


@pytest.fixture
def reviews(tmp_path) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text("id,review\n" + "".join(f"{number},fine\n" for number in range(12)))
    return path


def test_a_refused_key_is_told_with_its_remedy_and_patience_ends_the_run(penstock, reviews, upstream):
    # Given a provider that knows only another key
    upstream.configure(keys=["the-right-key"])
    command = ("run", str(reviews), "--prompt", PROMPT, "--model", "claude-haiku-4-5")

    # When, then the run says what is wrong, what to mend and when it tries again, and gives up
    refused = penstock(
        *command, "--patience", "2", ANTHROPIC_API_KEY="wrong-key", ANTHROPIC_BASE_URL=upstream.url
    )
    assert refused.process.returncode == 1
    for word in (
        f"{upstream.url}/v1/messages refuses the account (authentication_error",
        "ANTHROPIC_API_KEY",
        "(next try at",
        "the same command resumes it",
    ):
        assert word in " ".join(refused.said.split()), refused.said
    assert "wrong-key" not in refused.said

    # When the same command comes with the key, and with an address as many write it, then it goes on at once
    answered = penstock(*command, ANTHROPIC_API_KEY="the-right-key", ANTHROPIC_BASE_URL=f"{upstream.url}/v1")
    assert answered.process.returncode == 0, answered.said
    assert "resuming job" in answered.said
    assert "12 succeeded" in answered.said


@pytest.mark.long
def test_a_web_page_pauses_the_job_with_its_address_and_the_variable(penstock, reviews, upstream):
    upstream.configure(faults=[{"kind": "html"}])
    command = ("run", str(reviews), "--prompt", PROMPT, "--model", "claude-haiku-4-5")
    variables = {"ANTHROPIC_API_KEY": "key", "ANTHROPIC_BASE_URL": upstream.url}

    # When, then the first calls of the two workers agree, and no more are made
    paused = penstock(*command, **variables)
    assert paused.process.returncode == 1
    said = " ".join(paused.said.split())
    assert f"The job is paused. {upstream.url}/v1/messages is not the address of the provider's API" in said
    assert "correct ANTHROPIC_BASE_URL" in said
    assert "unconfirmed" not in said
    assert upstream.summary()["requests"] <= 6

    # When the same command comes again, and the page is still there, then a call or two show that
    before = upstream.summary()["requests"]
    assert penstock(*command, **variables).process.returncode == 1
    assert 1 <= upstream.summary()["requests"] - before <= 2

    # When the address is right, then every record is answered
    upstream.configure(faults=[])
    answered = penstock(*command, **variables)
    assert answered.process.returncode == 0, answered.said
    assert "12 succeeded" in answered.said


@pytest.mark.long
def test_an_address_that_refuses_is_named(penstock, reviews):
    gone = f"http://127.0.0.1:{free_port()}"
    ended = penstock(
        *("run", str(reviews), "--prompt", PROMPT, "--model", "claude-haiku-4-5", "--patience", "1"),
        ANTHROPIC_API_KEY="key",
        ANTHROPIC_BASE_URL=gone,
    )
    assert ended.process.returncode == 1
    said = " ".join(ended.said.split())
    assert f"{gone}/v1/messages cannot be reached" in said
    assert "check ANTHROPIC_BASE_URL" in said
