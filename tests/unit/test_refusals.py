"""What each refusal of the Messages API means."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from app import errors
from app.errors import Blame
from app.providers import refusals


def body(type: str, message: str = "no", code: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"type": type, "message": message}
    if code:
        error["details"] = {"error_code": code}
    return {"type": "error", "error": error, "request_id": "req_1"}


ACCOUNT, PROVIDER, RECORD = Blame.ACCOUNT, Blame.PROVIDER, Blame.RECORD


@pytest.mark.parametrize(
    ("status", "told", "kind", "blame", "name"),
    [
        (400, body("invalid_request_error"), errors.RequestRejected, RECORD, "invalid_request_error"),
        (404, body("not_found_error"), errors.RequestRejected, RECORD, "not_found_error"),
        (409, body("conflict_error"), errors.RequestRejected, RECORD, "conflict_error"),
        (413, body("request_too_large"), errors.RequestRejected, RECORD, "request_too_large"),
        (422, "no JSON at all", errors.RequestRejected, RECORD, "invalid_request"),
        (401, body("authentication_error"), errors.AccountRefused, ACCOUNT, "authentication_error"),
        (402, body("billing_error"), errors.AccountRefused, ACCOUNT, "billing_error"),
        (402, {"error": "Insufficient credit"}, errors.AccountRefused, ACCOUNT, "billing_error"),
        (402, body("invalid_request_error"), errors.AccountRefused, ACCOUNT, "billing_error"),
        (403, "<html>Forbidden</html>", errors.AccountRefused, ACCOUNT, "account_refused"),
        (
            400,
            body("invalid_request_error", code="organization_on_hold"),
            errors.AccountRefused,
            ACCOUNT,
            "organization_on_hold",
        ),
        (429, body("rate_limit_error"), errors.RateLimited, PROVIDER, "rate_limited"),
        (
            429,
            body("rate_limit_error", code="ramp_limit_exceeded"),
            errors.RateLimited,
            PROVIDER,
            "ramp_limit_exceeded",
        ),
        (529, body("overloaded_error"), errors.Overloaded, PROVIDER, "overloaded"),
        (502, "<html>Bad Gateway</html>", errors.Overloaded, PROVIDER, "overloaded"),
        (503, body("api_error"), errors.Overloaded, PROVIDER, "overloaded"),
        (504, body("timeout_error"), errors.Overloaded, PROVIDER, "overloaded"),
        (408, body("timeout_error"), errors.ServerFault, RECORD, "server_error"),
        (500, body("api_error"), errors.ServerFault, RECORD, "server_error"),
        (501, None, errors.RequestRejected, RECORD, "invalid_request"),
        (501, body("not_supported_error"), errors.RequestRejected, RECORD, "not_supported_error"),
        *(
            (status, "<html>Cloudflare</html>", errors.Overloaded, PROVIDER, "overloaded")
            for status in (520, 521, 522, 523, 525, 526, 527)
        ),
        (524, "<html>A timeout occurred</html>", errors.GatewayTimeout, RECORD, "gateway_timeout"),
    ],
)
def test_who_is_to_blame_is_told_by_status_type_and_code(
    status: int, told: object, kind: type[errors.ProviderError], blame: Blame, name: str
) -> None:
    error = refusals.read(status, told, {"request-id": "req_1"})
    assert (type(error), error.blame, error.type, error.request_id) == (kind, blame, name, "req_1")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (429, body("rate_limit_error", code="enforced_spend_limit_reached")),
        (429, body("rate_limit_error", code="contract_spend_limit_reached")),
        (402, body("billing_error", code="linked_organization_spend_limit_reached")),
        (400, body("invalid_request_error", "You have reached your specified API usage limits.")),
        (400, body("invalid_request_error", "You have reached your specified workspace API usage limits.")),
        (400, body("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")),
    ],
)
def test_a_spent_budget_is_looked_at_once_an_hour(status: int, told: object) -> None:
    error = refusals.read(status, told, {})
    assert isinstance(error, errors.AccountRefused)
    assert error.retry_after == 3_600
    assert "limit" in error.type


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"message": "No such file", "param": "file_id"}, errors.RequestRejected),
        ({"message": "It is gone", "code": "tool_not_found"}, errors.RequestRejected),
        ({"message": "Invalid URL (POST /v1/x)"}, errors.Misdirected),
        ({"message": "Not here", "param": "", "code": "unknown_url"}, errors.Misdirected),
    ],
)
def test_a_404_that_names_what_is_missing_in_the_request_is_the_records_own(
    said: dict[str, str], kind: type[errors.ProviderError]
) -> None:
    told = {"error": {"type": "invalid_request_error", "param": None, "code": None, **said}}
    assert type(refusals.read(404, told, {})) is kind


@pytest.mark.parametrize(
    "told",
    [
        {"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "no quota"}},
        {"error": {"message": "no quota", "type": "rate_limit", "code": "insufficient_quota"}},
        {"type": "error", "error": {"type": "insufficient_quota", "message": "no quota"}},
    ],
)
def test_a_gateways_unpaid_account_is_no_rate_limit(told: object) -> None:
    error = refusals.read(429, told, {})
    assert (type(error), error.type, error.retry_after) == (
        errors.AccountRefused,
        "insufficient_quota",
        3_600,
    )


def test_a_refused_account_is_looked_at_once_a_minute() -> None:
    assert refusals.read(401, body("authentication_error"), {}).retry_after == 60


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        ("overloaded_error", errors.Overloaded),
        ("rate_limit_error", errors.RateLimited),
        ("authentication_error", errors.AccountRefused),
        ("invalid_request_error", errors.RequestRejected),
        ("timeout_error", errors.ServerFault),
        ("api_error", errors.ServerFault),
        ("an_error_of_tomorrow", errors.ServerFault),
    ],
)
def test_an_error_inside_a_stream_is_told_by_its_type(type: str, kind: type[errors.ProviderError]) -> None:
    assert isinstance(refusals.read(200, body(type), {}), kind)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "99999999"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0),
    ],
)
def test_a_pause_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert refusals.pause(headers) == seconds


def test_a_date_is_a_pause_until_then() -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    told = refusals.pause({"retry-after": then})
    assert told is not None
    assert 80 < told <= 90


def test_the_providers_words_are_kept_as_they_can_be_stored() -> None:
    error = refusals.read(400, body("invalid_request_error", "messages: \0 and \ud83d " + "x" * 10_000), {})
    error.message.encode()
    assert error.message.startswith("messages: ")
    assert "\0" not in error.message
    assert len(error.message) <= 2_000


def test_a_call_that_a_gateway_cut_may_be_billed_and_says_what_helps() -> None:
    error = refusals.read(524, "<html>A timeout occurred</html>", {})
    assert error.booking is errors.Booking.UNCONFIRMED
    assert error.retryable
    assert not error.signals_outage  # waiting does not help
    for advice in ("100 s", "ask for less", "max_tokens", "ANTHROPIC_BASE_URL", "A timeout occurred"):
        assert advice in error.message


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "no"}}], errors.RateLimited),
        ({"errors": [{"code": 503, "message": "no"}]}, errors.Overloaded),
        ({"code": "429", "msg": "too fast", "success": False}, errors.RateLimited),
        ({"type": "overloaded_error", "message": "busy"}, errors.Overloaded),
        ({"error": "Rate limit reached"}, errors.RateLimited),
        ({"error": {"message": "The model is overloaded", "code": 1302}}, errors.Overloaded),
        ({"status_code": 402, "message": "pay"}, errors.AccountRefused),
        ({"error": {"message": "what?"}}, errors.ServerFault),
    ],
    ids=range(8),
)
def test_an_error_with_a_status_of_success_is_read_in_every_form(
    told: object, kind: type[errors.ProviderError]
) -> None:
    within = refusals.error_within(told)

    assert within is not None
    assert type(refusals.read(200, within, {})) is kind


@pytest.mark.parametrize(
    "told",
    [
        {"type": "message", "content": None, "status": 429},
        {"content": [{"type": "text", "text": "x"}], "error": {"code": 429}},
        {"detail": "x"},
        {"status": "completed"},
        [],
        "429",
        None,
    ],
    ids=range(7),
)
def test_what_is_no_error_is_not_taken_for_one(told: object) -> None:
    assert refusals.error_within(told) is None


@pytest.mark.parametrize(("status", "names"), [(407, "HTTPS_PROXY"), (511, "the network wants a login")])
def test_a_refusal_from_in_between_is_nobodys_records_fault(status: int, names: str) -> None:
    error = refusals.read(status, "<html>", {"content-type": "text/html"})

    assert (type(error), names in error.message) == (errors.Unreachable, True)


def test_a_network_before_the_provider_that_finds_no_server_is_an_outage() -> None:
    assert refusals.read(530, "error code: 1016", {}).blame is Blame.PROVIDER


def test_a_refusal_that_repeats_the_key_does_not_tell_it():
    error = refusals.read(400, {"error": {"type": "x", "message": 'key "sk-ant-12345" not known'}}, {})

    refusals.hide(error, "sk-ant-12345")

    assert "sk-ant" not in error.message
    assert error.body == {"error": {"type": "x", "message": 'key "[the key]" not known'}}


def test_a_key_that_is_no_secret_stands_in_ordinary_words():
    error = refusals.read(400, {"error": {"type": "x", "message": "none"}}, {})

    refusals.hide(error, "none")

    assert error.body == {"error": {"type": "x", "message": "none"}}
