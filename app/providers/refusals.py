"""What a provider's refusal means for us: whose matter it is, and how long to wait."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from app.errors import (
    ACCOUNT_PROBE,
    AccountRefused,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestRejected,
    ServerFault,
)
from app.providers.client import RateLimits

SPEND_PROBE_SECONDS = 3_600  # a spent budget comes back by the month, or by a person
LONGEST_PAUSE = 4_294_967  # seconds; the official SDK, too, takes a longer Retry-After for none

_ACCOUNT_STATUSES = frozenset({401, 402, 403})
_ACCOUNT_CODES = frozenset(
    {"organization_on_hold", "enforced_spend_limit_reached", "contract_spend_limit_reached"}
)
# These two come as a 400 without a code; their text is all there is to tell them by.
_SPENT = re.compile(r"specified (workspace )?API usage limits|credit balance is too low", re.IGNORECASE)
_OVERLOADED_STATUSES = frozenset({502, 503, 504, 529})

# An error inside a stream comes after a 200; its type says what its status would have been.
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
}


@dataclass(frozen=True, slots=True)
class _Told:
    """What the provider's error says."""

    type: str | None
    code: str | None
    message: str


def read(status: int, body: object, headers: Mapping[str, str]) -> ProviderError:
    """The error for a refusal: `body` is its parsed JSON, or its text where it was none."""
    told = _told(status, body)
    if status < 400:
        status = _STATUS_BY_TYPE.get(told.type or "", 500)
    if _blames_account(status, told):
        return _account_refused(told, headers)
    kind = _kind(status)
    return kind(
        told.message,
        type=_name(kind, told),
        retry_after=pause(headers),
        request_id=headers.get("request-id"),
        limits=rate_limits(headers),
    )


def rate_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """The limits for a minute that an answer's headers name; None where they name none."""
    named = {
        name: _number(headers.get(f"anthropic-ratelimit-{kind}-limit"))
        for name, kind in (
            ("requests", "requests"),
            ("input_tokens", "input-tokens"),
            ("output_tokens", "output-tokens"),
        )
    }
    found = {name: int(figure) for name, figure in named.items() if figure is not None and 1 <= figure < 1e12}
    return RateLimits(**found) if found else None


def pause(headers: Mapping[str, str]) -> float | None:
    """The seconds that the provider asks us to wait, by milliseconds, by seconds or by a date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    told = headers.get("retry-after", "")
    seconds = _until(told) if _number(told) is None else _number(told)
    if milliseconds is not None:
        seconds = milliseconds / 1000
    return seconds if seconds is not None and seconds <= LONGEST_PAUSE else None


def _told(status: int, body: object) -> _Told:
    told = body.get("error") if isinstance(body, Mapping) else None
    if isinstance(told, str) and told:  # an inference server's
        return _Told(None, None, _clean(told))
    if not isinstance(told, Mapping):
        return _Told(None, None, _clean(f"status {status}: {body}"))
    error: Mapping[str, Any] = told
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, Mapping) else None
    return _Told(_word(error.get("type")), _word(code), _clean(str(error.get("message", f"status {status}"))))


def _word(found: object) -> str | None:
    return _clean(found)[:64] if isinstance(found, str) and found else None


def _clean(text: str) -> str:
    """`text` as every database stores it: no NUL, no half surrogate pairs, of a bearable length."""
    return text[:2_000].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _blames_account(status: int, told: _Told) -> bool:
    if status in _ACCOUNT_STATUSES or told.code in _ACCOUNT_CODES:
        return True
    return status == 400 and _SPENT.search(told.message) is not None


def _account_refused(told: _Told, headers: Mapping[str, str]) -> AccountRefused:
    by_text = _SPENT.search(told.message) is not None
    spent = by_text or "spend_limit" in (told.code or "")
    return AccountRefused(
        told.message,
        type=told.code or ("spend_limit_reached" if by_text else told.type),
        retry_after=SPEND_PROBE_SECONDS if spent else ACCOUNT_PROBE,
        request_id=headers.get("request-id"),
        limits=rate_limits(headers),
    )


def _kind(status: int) -> type[ProviderError]:
    if status == 429:
        return RateLimited
    if status in _OVERLOADED_STATUSES:
        return Overloaded
    if status == 408 or status >= 500:
        return ServerFault
    return RequestRejected


def _name(kind: type[ProviderError], told: _Told) -> str | None:
    """The record's `error.type` where the provider's word says more than ours."""
    if kind is RequestRejected:
        return told.type
    return told.code if told.code == "ramp_limit_exceeded" else None


def _number(text: str | None) -> float | None:
    """A number of at least 0, or None."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number >= 0 else None


def _until(date: str) -> float | None:
    """Seconds until an HTTP date; 0 when it is past."""
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)  # `-0000` means UTC without a zone
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
