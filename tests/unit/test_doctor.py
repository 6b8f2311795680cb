"""The doctor's own rules: what hangs hides nothing, no secret is told, settings and clocks are compared."""

import json
import os
import threading

import pytest

from app.doctor import clocks, environment, hosted, provider
from app.doctor.examination import Section, examine, in_words
from app.doctor.finding import State, ok
from app.doctor.parts import without_stack
from config import settings


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """Sets variables for this process."""

    def choose(**variables):
        for name, value in {"PENSTOCK_DATA": str(tmp_path), "DATABASE_URL": "", **variables}.items():
            monkeypatch.setenv(name, value)
        settings.current.cache_clear()
        while settings.current() != settings.read(os.environ):  # a thread of another test was reading them
            settings.current.cache_clear()

    yield choose
    settings.current.cache_clear()


def test_what_hangs_and_what_raises_hide_nothing_of_the_rest(chosen):
    # Given a part that hangs after its first word, one that raises, and one that is well
    chosen()
    released = threading.Event()

    def hangs():
        yield ok("first", "seen")
        released.wait()

    def raises():
        raise OSError(13, "Permission denied")

    sections = [
        Section(("first", "second", "third"), hangs, "mend it", patience=0.1),
        Section(("broken",), raises, "see the manual", patience=5),
        Section(("well",), lambda: [ok("well", "all is well")], "", patience=5),
    ]

    # When they are examined
    found = {finding.subject: finding for finding in examine(sections)}
    released.set()

    # Then each of them is told, in what state it is, and what to do
    assert {subject: finding.state for subject, finding in found.items()} == {
        "first": State.OK,
        "second": State.WRONG,
        "third": State.WARNING,
        "broken": State.WRONG,
        "well": State.OK,
    }
    assert found["second"].text.startswith("no answer within")
    assert found["second"].remedy == "mend it"
    assert (found["third"].text, found["third"].remedy) == ("not known", "see second")
    assert "Permission denied" in found["broken"].text


def test_no_secret_of_the_settings_is_told_whatever_a_driver_says(chosen):
    chosen(
        DATABASE_URL="postgresql://me:p%40ss-one@db/penstock",
        REDIS_URL="redis://:pass-two@redis:6379/0",
        CELERY_BROKER_URL="amqp://me:pass-three@rabbit//",
        ANTHROPIC_API_KEY="sk-ant-four",
        PENSTOCK_API_KEY="pk_five",
    )
    said = in_words(OSError("p%40ss-one p@ss-one pass-two pass-three sk-ant-four pk_five\nat db"))

    assert said == "*** *** *** *** *** *** at db"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (100.5, None),
        (98.2, None),
        (104.0, "2.9 s ahead of"),
        (97.0, "3.0 s behind"),
        (3_700.0, "3,598.9 s ahead of"),
    ],
)
def test_clocks_are_compared_with_the_time_that_the_answer_took(told, says):
    # Given a question of second 100 that was answered in second 101.1
    found = clocks.compared("clock", "the database's", told, 100.0, 101.1)

    assert found.state is (State.OK if says is None else State.WARNING)
    assert says is None or says in found.text


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"ANTHROPIC_API_KEY": "k"}, "no contradictions"),
        (
            {"WORKER_KEYS": "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL": "https://x.invalid"},
            "no contradictions",
        ),
        ({}, "jobs that name no model"),
        ({"DEFAULT_MODEL": "gemini-9"}, "'gemini-9' is not known"),
        ({"DEFAULT_MODEL": "gpt-9"}, "OPENAI_API_KEY is not set"),
        ({"DEFAULT_MODEL": "claude-haiku-4.5"}, "did you mean 'claude-haiku-4-5'?"),
        (
            {"ANTHROPIC_BASE_URL": "https://x.invalid"},
            "ANTHROPIC_API_KEY is not",
        ),
        (
            {"DEFAULT_MAX_TOKENS": "5000", "CLAUDE_OUTPUT_TOKENS_PER_MINUTE": "4000"},
            "no call to it fits",
        ),
        ({"INFERENCE_MODEL": "fraud"}, "INFERENCE_URL is not: inputs are rejected"),
        ({"BATCH_COST_PER_1K_INPUT_TOKENS": "0.1"}, "only one of BATCH_COST_PER_1K_INPUT_TOKENS"),
        (
            {"REDIS_URL": "redis://127.0.0.1/0", "CELERY_BROKER_URL": "redis://127.0.0.1/2"},
            "that the limiter uses",
        ),
        ({"REDIS_URL": "redis://cache.example/0"}, "SQLite on this machine, but Redis is on another"),
        ({"PENSTOCK_URL": "http://x.invalid"}, "PENSTOCK_API_KEY is not"),
        ({"PENSTOCK_LIMITS_FILE": "/nowhere"}, "PENSTOCK_LIMITS_FILE='/nowhere'"),
    ],
)
def test_settings_that_do_not_go_together_are_named(chosen, variables, says):
    from app.providers import classes

    chosen(**variables)
    classes._classes.cache_clear()

    found = list(environment.look())

    assert any(says in finding.text for finding in found), found
    assert json.dumps([finding.remedy for finding in found if finding.state is not State.OK])
    classes._classes.cache_clear()


@pytest.mark.parametrize(
    ("variables", "subject", "state", "says"),
    [
        ({"REDIS_URL": "redis://h/0"}, "tls", State.OK, "the Redis at h:6379 is not encrypted"),
        ({"REDIS_URL": "rediss://h:6380/0"}, "tls", State.OK, "known by this machine's authorities"),
        ({"REDIS_URL": "rediss://h/0?ssl_cert_reqs=none"}, "tls", State.WARNING, "is not checked"),
        ({"REDIS_TLS_CA": __file__}, "tls", State.WARNING, "though REDIS_TLS_CA is set"),
        ({"REDIS_URL": "redis://h/3"}, "databases", State.OK, "broker 4, limiter 5, hand-off 0"),
        (
            {"REDIS_URL": "redis://h/3", "REDIS_ONE_DATABASE": "1"},
            "databases",
            State.OK,
            "in database 3, under the prefix penstock:",
        ),
        ({}, "forgotten connections", State.OK, "2 s by the limiter, 3 s by who sends messages and 7 s"),
        ({}, "proxies", State.OK, "https://api.anthropic.com is called directly"),
        ({"HTTPS_PROXY": "me:geheim@proxy:3128"}, "proxies", State.OK, "called through http://proxy:3128"),
        (
            {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "anthropic.com"},
            "proxies",
            State.OK,
            "is called directly",
        ),
        (
            {"HTTP_PROXY": "http://proxy:3128", "ANTHROPIC_BASE_URL": "http://localhost:4000"},
            "proxies",
            State.WARNING,
            "which cannot reach this machine",
        ),
    ],
)
def test_what_hosted_services_and_networks_do_is_told_in_a_line_each(
    chosen, monkeypatch, variables, subject, state, says
):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    chosen(**variables)

    found = {finding.subject: finding for finding in hosted.look()}

    assert tuple(found) == hosted.SUBJECTS
    assert found[subject].state is state
    assert says in found[subject].text
    assert "geheim" not in found[subject].text


def test_keys_that_only_workers_have_are_said_to_be_there(chosen):
    chosen(WORKER_KEYS="ANTHROPIC_API_KEY,OPENAI_API_KEY")

    found = list(provider.look(call=True))

    assert {finding.state for finding in found} == {State.OK}
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        assert any(f"{name} is with the slice workers alone" in finding.text for finding in found)


def test_a_machine_on_which_nothing_runs_is_told_just_that(chosen):
    chosen(ANTHROPIC_API_KEY="k")

    found = {finding.subject: finding for finding in examine(without_stack(call=False))}

    assert set(found) == {"settings", "stack", "provider"}
    assert (found["stack"].state, found["stack"].text) == (State.WARNING, "no stack runs here")
    assert "`penstock up` starts one" in found["stack"].remedy
