"""The price before it is paid, and a cap that holds, from a terminal and a stack that asks a paid model."""

import re
from decimal import Decimal

import pytest

from tests.support.commands import Command, Stack, TerminalCommand

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


@pytest.fixture
def terminal(paying):
    """Type a run in a terminal, where more than a hundredth of a cent is to be asked for."""
    started: list[TerminalCommand] = []

    def start(*arguments, **environment) -> TerminalCommand:
        more = {"ANTHROPIC_API_KEY": "test-key", "PENSTOCK_ASK_ABOVE": "0.0001", **environment}
        started.append(TerminalCommand(("run", *arguments), paying.data, **more))
        return started[-1]

    yield start
    for run in started:
        run.clear_away()


def test_above_a_sum_a_run_asks_on_a_terminal_and_shows_the_first_prompt(terminal, reviews, upstream):
    run = (str(reviews), "--prompt", f"Asked first: {PROMPT}")
    for answer in ("n", "\x04"):  # no, and the end of input
        refused = terminal(*run)
        refused.says("Send it? [y/N]")
        assert "Asked first: Say it in one word: review number 0" in refused.said
        assert re.search(r"This may cost up to \$0\.\d+", refused.said)
        refused.types(answer)
        assert refused.ends() == 1
        assert "nothing was sent" in refused.said
    assert upstream.summary()["requests"] == 0

    agreed = terminal(*run)
    agreed.says("Send it? [y/N]")
    agreed.types("y")
    assert agreed.ends() == 0, agreed.said
    assert upstream.summary()["requests"] == 20


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--yes"], {}),
        ([], {"PENSTOCK_ASK_ABOVE": "1"}),
        (["--max-cost", "0.5"], {"PENSTOCK_ASK_ABOVE": "0.5"}),
        (["--model", "simulated"], {}),
    ],
    ids=["yes", "below the sum", "a cap below the sum", "nothing is billed"],
)
def test_nobody_is_asked_about_a_small_sum_or_again(terminal, reviews, upstream, arguments, environment):
    ran = terminal(str(reviews), "--prompt", f"{arguments}: {PROMPT}", *arguments, **environment)
    assert ran.ends() == 0, ran.said
    assert "Send it?" not in ran.said


def test_where_there_is_no_terminal_nobody_is_asked(paying, reviews, upstream):
    ran = Command(
        ("run", str(reviews), "--prompt", f"In cron: {PROMPT}"), paying.data, PENSTOCK_ASK_ABOVE="0"
    )
    assert ran.ends() == 0, ran.said


def test_a_sample_is_not_paid_for_again_by_the_whole_run_of_the_same_prompt(paying, reviews, upstream):
    # Given a sample of the first five rows
    run = ("run", str(reviews), "--prompt", f"Sampled: {PROMPT}")
    sampled = command(paying, *run, "--rows", "5")
    assert sampled.process.returncode == 0, sampled.said

    # When the whole file is run
    whole = command(paying, *run)

    # Then the sample's answers are there, told, and nothing of it was asked twice
    assert whole.process.returncode == 0, whole.said
    assert "5 of 20 answers are those of an earlier job: not paid again" in whole.said
    assert upstream.summary()["requests"] == 20
    assert len({seen["text"] for seen in upstream.books()}) == 20
    rows = reviews.with_name("reviews.answers.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(rows) == 21
    assert all(",succeeded," in row for row in rows[1:])

    # Unless it is asked for
    again = command(paying, *run, "--again")
    assert again.process.returncode == 0, again.said
    assert upstream.summary()["requests"] == 40


def test_a_job_has_as_many_calls_in_flight_as_its_limit_lets_leave(paying, reviews, upstream):
    upstream.configure(latency_ms=500)
    ran = command(paying, "run", str(reviews), "--prompt", f"At once: {PROMPT}")
    assert ran.process.returncode == 0, ran.said
    assert upstream.summary()["most_in_flight"] > 5


def test_only_what_failed_is_run_again(paying, reviews, upstream):
    # Given a run of which some failed
    faulty = {"kind": "status", "status": 400, "matching": "number 1", "first": 11}
    upstream.configure(faults=[faulty])
    run = ("run", str(reviews), "--prompt", f"Some fail: {PROMPT}")
    failed = command(paying, *run)
    assert failed.process.returncode == 3, failed.said
    assert "--retry-failed" in failed.said
    asked = upstream.summary()["requests"]

    # When it is typed again, nothing is paid; with --retry-failed the eleven are asked
    assert command(paying, *run).process.returncode == 3
    assert upstream.summary()["requests"] == asked
    retried = command(paying, *run, "--retry-failed")
    assert retried.process.returncode == 0, retried.said
    assert "running 11 of 20 records again" in retried.said
    assert upstream.summary()["requests"] == asked + 11

    # And when none has failed, nothing is
    assert command(paying, *run, "--retry-failed").process.returncode == 0
    assert upstream.summary()["requests"] == asked + 11


def test_a_quote_of_a_model_without_a_key_is_given_and_says_what_is_missing(tmp_path, reviews):
    quoted = Command(
        ("estimate", str(reviews), "--prompt", PROMPT, "--model", "claude-sonnet-4-5"),
        tmp_path / "data",
        ANTHROPIC_API_KEY="",
    )
    assert quoted.ends(90) == 0, quoted.said
    assert "20 records for claude-sonnet-4-5\n" in quoted.said
    assert "needs a key: set ANTHROPIC_API_KEY" in quoted.said
    assert "prompt 1    Say it in one word: review number 0" in quoted.said
