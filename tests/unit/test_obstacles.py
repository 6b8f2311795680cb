"""What keeps calls from being answered: how sure that is, in which words it is told, how long one waits."""

import io

import pytest
from rich.console import Console

from app import errors
from app.cli.patience import Patience
from app.core.limits import obstacle
from app.core.limits.evidence import Evidence, Weight
from app.errors import Booking
from app.providers import refusals, registry
from config import settings

PAGE = refusals.web_page(b"<html>Sign in</html>")


def weighed(evidence: Evidence, *faults: errors.ProviderError, probe: bool = False) -> list[Weight]:
    return [evidence.weigh(fault, probe=probe, outage=False) for fault in faults]


def test_three_calls_that_agree_settle_a_wrong_address_and_nothing_of_them_is_billed():
    evidence = Evidence()
    assert evidence.booking(PAGE) is Booking.ANSWERED
    assert weighed(evidence, PAGE, PAGE, PAGE) == [Weight.OPEN, Weight.OPEN, Weight.SETTLED]


def test_a_probe_that_agrees_with_one_call_settles_it():
    evidence = Evidence()
    weighed(evidence, PAGE)
    assert weighed(evidence, PAGE, probe=True) == [Weight.SETTLED]


def test_an_odd_page_amid_answers_is_the_records_own_and_may_be_billed():
    evidence = Evidence()
    evidence.note_answer()
    assert weighed(evidence, *[PAGE] * 9) == [Weight.ODD] * 9
    assert evidence.booking(PAGE) is Booking.UNCONFIRMED
    assert weighed(evidence, PAGE) == [Weight.SETTLED]


def test_bad_answers_settle_nothing_before_a_probe_of_their_outage():
    evidence, bad = Evidence(), errors.BadAnswer("no usage")
    assert weighed(evidence, *[bad] * 10) == [Weight.OPEN] * 10
    assert evidence.weigh(bad, probe=True, outage=True) is Weight.SETTLED


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (301, "", errors.Misdirected),
        (404, "404 page not found", errors.Misdirected),
        (404, {"detail": "Not Found"}, errors.Misdirected),
        (404, {"error": {"type": "invalid_request_error", "message": "Invalid URL"}}, errors.Misdirected),
        (405, "<html>405 Not Allowed</html>", errors.Misdirected),
        (400, "<html>plain HTTP request sent to HTTPS port</html>", errors.Misdirected),
        (
            404,
            {"type": "error", "error": {"type": "not_found_error"}},
            errors.RequestRejected,
        ),
        (404, {"error": "Model x not found"}, errors.RequestRejected),
        (400, "no JSON", errors.RequestRejected),
    ],
)
def test_who_refuses_in_other_words_than_the_provider_is_another_server(status, body, kind):
    assert type(refusals.read(status, body, {})) is kind


def test_a_redirect_is_told_without_its_secrets():
    error = refusals.read(302, "", {"location": "https://me:pw@gw.example/v1/messages?token=t#x"})
    assert error.message == "status 302, a redirect to https://gw.example/v1/messages"


def test_what_a_provider_said_is_one_bounded_line():
    error = errors.AccountRefused("no\x1b[2J credit\n" + "x" * 5_000, type="billing_error")
    found = obstacle.of(error, registry.ANTHROPIC)
    assert found.variable == "ANTHROPIC_API_KEY"
    assert found.message.isprintable()
    assert len(found.message) < 600


def test_an_account_without_credit_is_told_to_pay_and_not_to_change_its_key():
    provider = registry.find("claude-haiku-4-5")
    refused = refusals.read(402, {"error": "Insufficient credit"}, {})
    assert "add credit or raise the spend limit" in obstacle.of(refused, provider).message


def test_patience_counts_from_the_first_obstacle_and_starts_again_with_an_answer():
    now, said = [0.0], io.StringIO()
    patience = Patience(Console(file=said), 60, clock=lambda: now[0])
    counts = {"running": 0, "succeeded": 0, "failed": 0, "cancelled": 0, "expired": 0}
    free = {"counts": counts, "limited_by": "requests", "limited_by_detail": None}
    held = free | {"limited_by_detail": {"message": "refused", "next_try_at": None}}

    def over(at: float, job: dict) -> bool:
        now[0] = at
        patience.see(job)
        return patience.is_over(job)

    assert [over(100, free), over(101, held), over(160, held), over(161, held)] == [False, False, False, True]
    assert not over(162, held | {"counts": counts | {"succeeded": 1}})
    assert said.getvalue() == "refused\n"


def test_only_an_obstacle_that_stands_is_told_and_a_try_that_is_due_has_no_time():
    now, said = [0.0], io.StringIO()
    patience = Patience(Console(file=said), 60, clock=lambda: now[0])
    counts = {"running": 0, "succeeded": 0, "failed": 0, "cancelled": 0, "expired": 0}
    due = {"message": "the old key is refused", "next_try_at": "1970-01-01T00:00:00Z"}
    held = {"counts": counts, "limited_by": "account: refused", "limited_by_detail": due}
    trying = held | {"counts": counts | {"running": 1}}

    # Given what an earlier run left behind, and a slow call that tries it
    for at, job in ((0, held), (9, held), (10, trying), (15, trying), (16, held)):
        now[0] = at
        patience.see(job)
    assert said.getvalue() == ""

    # When that call was refused, too
    again = held | {"limited_by_detail": due | {"next_try_at": "1970-01-01T00:01:00Z"}}
    for at in (17, 20):
        now[0] = at
        patience.see(again)
    assert said.getvalue() == "the old key is refused\n"


def test_an_obstacle_that_was_there_before_is_told_when_nothing_tries_it_for_long():
    now, said = [0.0], io.StringIO()
    patience = Patience(Console(file=said), 60, clock=lambda: now[0])
    counts = {"running": 0, "succeeded": 0, "failed": 0, "cancelled": 0, "expired": 0}
    detail = {"message": "refused", "next_try_at": "1970-01-01T00:00:00Z"}
    held = {"counts": counts, "limited_by": "account: refused", "limited_by_detail": detail}
    due = held | {"limited_by_detail": detail | {"next_try_at": None}}
    for at, job in ((0, held), (7, held), (14, due), (15, due)):
        assert said.getvalue() == ""
        now[0] = at
        patience.see(job)
    assert said.getvalue() == "refused\n"


def test_who_gives_up_says_why_even_if_it_was_not_told_yet():
    said = io.StringIO()
    patience = Patience(Console(file=said, width=200), 1, clock=lambda: 0.0)
    counts = {"running": 0, "succeeded": 0, "failed": 0, "cancelled": 0, "expired": 0}
    job = {"counts": counts, "limited_by": "redis"}
    patience.see(job)
    patience.give_up(job)
    why, farewell = said.getvalue().splitlines()
    assert why.startswith("Redis does not answer")
    assert farewell.startswith("no record was answered for 1 s")


def test_a_worker_that_cannot_ask_says_what_it_lacks(monkeypatch):
    # Given an endpoint that left the file, one without its key, and a worker without the SDK
    openai = registry.find("gpt-4o")
    gone, keyless = obstacle.unusable("gone", None), obstacle.unusable("openai", openai)
    assert ("'gone'" in gone.message, gone.variable) == (True, "PENSTOCK_PROVIDERS_FILE")
    assert keyless.variable == "OPENAI_API_KEY"

    monkeypatch.setattr(registry, "SDK", "no_such_package")
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    settings.current.cache_clear()
    assert "pip install 'penstock[openai]'" in obstacle.unusable("openai", openai).message
    settings.current.cache_clear()
