"""What a provider's refusal means for us: who is responsible, and how long to wait."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from app.errors import (
    ACCOUNT_PROBE,
    AccountRefused,
    Booking,
    GatewayTimeout,
    Misdirected,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestRejected,
    ServerFault,
    Unreachable,
)
from app.providers.client import RateLimits

SPEND_PROBE_SECONDS = 3_600  # a spent budget is renewed each month, or by a person
SHORTEST_KEY = 8  # characters; what is shorter, such as `none`, keeps no secret and stands in ordinary words
HIDDEN = "[the key]"
LONGEST_PAUSE = 4_294_967  # seconds; a longer Retry-After is ignored, as by the official SDK

_ACCOUNT_STATUSES = frozenset({401, 402, 403})
_ACCOUNT_CODES = frozenset(
    {"organization_on_hold", "enforced_spend_limit_reached", "contract_spend_limit_reached"}
)
# What gateways before other providers say with a 429: no call succeeds until somebody pays.
_UNPAID = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_ACCOUNT_TYPES = frozenset({"no_db_connection"})  # of a LiteLLM proxy without a database: not its master key
# These two come as a 400 without a code and can only be recognised by their text.
_SPENT = re.compile(r"specified (workspace )?API usage limits|credit balance is too low", re.IGNORECASE)
_MONEY = re.compile(r"spend|billing|credit|quota")  # in the type of a refusal
# From 520 on those of a content delivery network that did not reach the provider, or got no answer from it.
_OVERLOADED_STATUSES = frozenset({502, 503, 504, 520, 521, 522, 523, 525, 526, 527, 529, 530})
_NOT_SUPPORTED = 501  # by this server: it would say so again
_GATEWAY_CUT = 524  # it reached the provider, which may go on working and bill the call

# Of servers that have no such path, or take no POST there; and of those that a web page may go with.
_WITHOUT_PATH = frozenset({404, 405, 410, 421})
_REJECTED = frozenset({400, 406, 409, 415, 422, 426})
_SERVERS_OWN = ("not found", "method not allowed", "gone", "misdirected request")  # said by any web server
_PAGE = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)

# An error after a 200, in a stream or in a gateway's answer: its type shows what its status would have been.
_STATUS_BY_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "timeout_error": 408,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "overloaded_error": 529,
    # What gateways before other providers say.
    "rate_limit_exceeded": 429,
    "RESOURCE_EXHAUSTED": 429,
    "insufficient_quota": 402,
    "UNAVAILABLE": 503,
}
_CODES = ("code", "status", "status_code", "error_code")  # where gateways write a status
# What gateways say that write no status.
_STATUS_BY_WORDS = (
    (re.compile(r"rate.?limit|too many requests|\b429\b|quota|throttl", re.IGNORECASE), 429),
    (re.compile(r"overload|at capacity|\bbusy\b|unavailable|\b503\b|\b529\b", re.IGNORECASE), 529),
)
# Of what stands between here and any server: a proxy that wants a password, a network that wants a login.
_IN_BETWEEN = {
    407: "the proxy wants a user and a password (status 407): set them in HTTPS_PROXY or HTTP_PROXY",
    511: "the network wants a login before it lets anything through (status 511)",
}

TOO_LONG = (
    "The gateway before the provider cut the call at its own time limit, often about 100 s (status 524); it"
    " may be billed. Waiting does not help: ask for less in one record, have the answer streamed (max_tokens"
    " over 21,333), or set an address without this gateway (ANTHROPIC_BASE_URL, or the endpoint's)."
)


@dataclass(frozen=True, slots=True)
class _Error:
    """The content of a provider's error."""

    type: str | None
    code: str | None
    message: str
    is_of_provider: bool = False  # in the form of its errors


def read(status: int, body: object, headers: Mapping[str, str]) -> ProviderError:
    """The exception for a refusal: `body` is its parsed JSON, or its text where it was not JSON."""
    error = _read(status, body, headers)
    if isinstance(error, Misdirected | Unreachable):
        return error  # not the provider's own words
    error.body = body if isinstance(body, Mapping) else None
    if status >= 400:
        error.shown_as = status
    return error


def _read(status: int, body: object, headers: Mapping[str, str]) -> ProviderError:
    if 300 <= status < 400:
        target = visible(headers.get("location", ""))
        return Misdirected(f"status {status}, a redirect to {target or 'nowhere'}")
    error = _parse(status, body)
    if status in _IN_BETWEEN:
        return Unreachable(_IN_BETWEEN[status])
    if _lacks_the_path(status, error, body, headers):
        return Misdirected(error.message)
    if status < 400:
        status = _status_within(body, error)
    if _blames_account(status, error):
        return _account_refused(status, error, headers)
    kind = _kind(status)
    refusal = kind(
        f"{TOO_LONG} The gateway said: {error.message}" if kind is GatewayTimeout else error.message,
        type=_name(kind, error),
        retry_after=pause(headers),
        request_id=request_id_of(headers),
        limits=rate_limits(headers),
    )
    refusal.status = status
    return refusal


def error_within(body: object) -> Mapping[str, Any] | None:
    """What came with a 200, if it is an error all the same, in the form `{"error": …}`.

    Gateways write it as a list, as `errors`, or without anything around it.
    """
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping) or body.get("content"):
        return body if isinstance(body, Mapping) and body.get("type") == "error" else None
    if body.get("type") == "error" or body.get("error"):
        return body
    errors = body.get("errors")
    if isinstance(errors, list) and errors:
        return {"error": errors[0]}
    if body.get("type") == "message" or not any(_as_status(body.get(name)) for name in ("type", *_CODES)):
        return None
    return {"error": {**body, "message": body.get("message") or body.get("msg") or body.get("detail") or ""}}


def is_in_form(body: Mapping[str, Any], *, of_messages: bool) -> bool:
    """Whether a refusal has the form that the Messages API gives it, or else that of OpenAI's."""
    return (body.get("type") == "error") is of_messages and isinstance(body.get("error"), Mapping)


def is_web_page(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether an answer is for browsers, by its header or by its beginning."""
    return "html" in headers.get("content-type", "") or _PAGE.match(body) is not None


def web_page(body: bytes) -> Misdirected:
    """The exception for a web page with a status of success."""
    begins = f": {cleaned(body[:200].decode(errors='replace'))}" if body else ""
    error = Misdirected(f"a web page instead of an answer{begins}")
    error.booking = Booking.UNCONFIRMED
    return error


def visible(url: str) -> str:
    """An address as people may see it: without user, password, query and fragment."""
    try:
        parts = urlsplit(cleaned(url))
    except ValueError:  # somebody else's
        return "an address that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))[:300]


def rate_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """The limits per minute in an answer's headers; None where they have none."""
    values = {
        name: number(headers.get(f"anthropic-ratelimit-{kind}-limit"))
        for name, kind in (
            ("requests", "requests"),
            ("input_tokens", "input-tokens"),
            ("output_tokens", "output-tokens"),
        )
    }
    limits = {name: int(value) for name, value in values.items() if value is not None and 1 <= value < 1e12}
    return RateLimits(**limits) if limits else None


def pause(headers: Mapping[str, str]) -> float | None:
    """The seconds that the provider asks us to wait, given in milliseconds, in seconds or as a date."""
    milliseconds = number(headers.get("retry-after-ms"))
    value = headers.get("retry-after", "")
    seconds = _until(value) if number(value) is None else number(value)
    if milliseconds is not None:
        seconds = milliseconds / 1000
    return seconds if seconds is not None and seconds <= LONGEST_PAUSE else None


def _parse(status: int, body: object) -> _Error:
    content = body.get("error") if isinstance(body, Mapping) else None
    if isinstance(content, str) and content:  # an inference server's
        return _Error(None, None, cleaned(content), content.strip().lower() not in _SERVERS_OWN)
    if not isinstance(content, Mapping):
        return _Error(None, None, cleaned(f"status {status}: {body}"))
    error: Mapping[str, Any] = content
    details = error.get("details")
    code = _word(details.get("error_code") if isinstance(details, Mapping) else error.get("code"))
    message = cleaned(str(error.get("message", f"status {status}")))
    kind = _word(error.get("type"))
    is_about_the_request = (
        (isinstance(body, Mapping) and body.get("type") == "error")
        or any("not_found" in (word or "") for word in (kind, code))
        or bool(_word(error.get("param")))
        or "model" in message.lower()
    )
    return _Error(kind, None if code and code.isdigit() else code, message, is_about_the_request)


def _lacks_the_path(status: int, error: _Error, body: object, headers: Mapping[str, str]) -> bool:
    """Whether this is a server that is not the provider, or not its API: it does not refuse in its words.

    The provider's own 404 is for what a request names, such as its model.
    """
    if status in _WITHOUT_PATH:
        return not error.is_of_provider
    is_page = isinstance(body, str) and is_web_page(body.encode(errors="replace"), headers)
    return is_page and status in _REJECTED


def _status_within(body: object, error: _Error) -> int:
    """The status that an error after a 200 would have had: by the code that it names, else by its type."""
    content = body.get("error") if isinstance(body, Mapping) else None
    parts = [part for part in (content, body) if isinstance(part, Mapping)]
    named = [_as_status(part.get(name)) for part in parts for name in _CODES]
    said = next((status for words, status in _STATUS_BY_WORDS if words.search(error.message)), 500)
    return next((status for status in [*named, _as_status(error.type)] if status is not None), said)


def _as_status(value: object) -> int | None:
    """The status that a code or a type stands for."""
    if isinstance(value, int | str) and re.fullmatch(r"[45]\d\d", str(value)):
        return int(value)
    return _STATUS_BY_TYPE.get(value) if isinstance(value, str) else None


def _word(value: object) -> str | None:
    return cleaned(value)[:64] if isinstance(value, str) and value else None


def hide(error: ProviderError, key: str) -> None:
    """Have an error, which tenants read, not tell the key of the operator's account."""
    if len(key) < SHORTEST_KEY:
        return
    error.message = error.message.replace(key, HIDDEN)
    written = json.dumps(error.body)
    if key in written:
        error.body = json.loads(written.replace(key, HIDDEN))


def cleaned(text: str) -> str:
    """`text` in a form that every database stores: no NUL, no lone surrogates, of limited length."""
    return text[:2_000].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _blames_account(status: int, error: _Error) -> bool:
    if status in _ACCOUNT_STATUSES or error.code in _ACCOUNT_CODES or error.type in _ACCOUNT_TYPES:
        return True
    if _UNPAID & {error.code, error.type}:
        return True
    return status == 400 and _SPENT.search(error.message) is not None


def lacks_money(error: AccountRefused) -> bool:
    """Whether the account was refused for want of credit, or at its spend limit: another key is no remedy."""
    return _MONEY.search(error.type) is not None


def _account_refused(status: int, error: _Error, headers: Mapping[str, str]) -> AccountRefused:
    by_text = _SPENT.search(error.message) is not None
    spent = by_text or "spend_limit" in (error.code or "") or bool(_UNPAID & {error.code, error.type})
    name = error.code or ("spend_limit_reached" if by_text else error.type)
    if status == 402 and not _MONEY.search(name or ""):  # it is about money, whatever a gateway calls it
        name = "billing_error"
    return AccountRefused(
        error.message,
        type=name,
        retry_after=SPEND_PROBE_SECONDS if spent else ACCOUNT_PROBE,
        request_id=request_id_of(headers),
        limits=rate_limits(headers),
    )


def _kind(status: int) -> type[ProviderError]:
    if status == 429:
        return RateLimited
    if status in _OVERLOADED_STATUSES:
        return Overloaded
    if status == _GATEWAY_CUT:
        return GatewayTimeout
    if status == 408 or (status >= 500 and status != _NOT_SUPPORTED):
        return ServerFault
    return RequestRejected


def _name(kind: type[ProviderError], error: _Error) -> str | None:
    """The record's `error.type` where the provider's is more specific than ours."""
    if kind is RequestRejected:
        return error.type
    return error.code if error.code == "ramp_limit_exceeded" else None


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The provider's own name for a call."""
    names = ("request-id", "x-request-id", "x-litellm-call-id")
    return next((id for name in names if (id := headers.get(name))), None)


def number(text: str | None) -> float | None:
    """A number of at least 0, or None."""
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if found >= 0 else None


def _until(date: str) -> float | None:
    """Seconds until an HTTP date; 0 when it is past."""
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)  # `-0000` means UTC without a zone
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
