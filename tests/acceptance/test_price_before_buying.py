"""The price before it is paid, and a cap that holds, from a terminal and a stack that asks a paid model."""

import re
from decimal import Decimal

import pytest

from tests.support.commands import Command, Stack

PROMPT = "Say it in one word: {{ review }}"


@pytest.fixture(scope="module")
def paying(tmp_path_factory, upstream_process):
    """A running stack whose Claude is the tests' provider."""
    running = Stack(
        tmp_path_factory.mktemp("paying") / "data",
        ANTHROPIC_API_KEY="test-key",
        ANTHROPIC_BASE_URL=upstream_process.url,
        CLAUDE_REQUESTS_PER_MINUTE="60000",
    )
    yield running.is_ready()
    running.clear_away()


@pytest.fixture
def reviews(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text("review\n" + "".join(f"review number {number}\n" for number in range(20)))
    return path


def command(paying, *arguments) -> Command:
    ran = Command(arguments, paying.data, ANTHROPIC_API_KEY="test-key")
    ran.ends(60)
    return ran


def test_a_quote_tells_records_tokens_cost_and_time_and_asks_nothing(paying, reviews, upstream):
    quoted = command(paying, "estimate", str(reviews), "--prompt", PROMPT)

    assert quoted.process.returncode == 0, quoted.said
    assert "20 records for claude-haiku-4-5\n" in quoted.said
    for line in ("tokens in", "tokens out", "cost", "time", "limited by", "basis"):
        assert re.search(rf"^{line} ", quoted.said, re.MULTILINE), quoted.said
    assert upstream.summary()["requests"] == 0


def test_a_run_stays_under_its_cap_and_goes_on_under_a_higher_one_without_asking_twice(
    paying, reviews, upstream
):
    # Given a cap that has room for some of the records
    run = ("run", str(reviews), "--prompt", PROMPT, "--max-tokens", "200", "--max-cost")
    capped = command(paying, *run, "0.0045")

    # Then it said what all would cost, stopped below the cap, and says how to go on
    assert capped.process.returncode == 1, capped.said
    assert re.search(r"quote +20 records · about \$", capped.said)
    assert "The job is paused." in capped.said
    assert "resumes it with a higher --max-cost" in capped.said
    asked = upstream.summary()["requests"]
    assert 0 < asked < 20
    assert _cost(capped) <= Decimal("0.0045")

    # And when the cap is raised
    whole = command(paying, *run, "1")
    assert whole.process.returncode == 0, whole.said
    assert upstream.summary()["requests"] == 20


def _cost(ran: Command) -> Decimal:
    found = re.search(r"^cost +\$([0-9.]+)", ran.said, re.MULTILINE)
    assert found, ran.said
    return Decimal(found[1])
