"""Every error that Penstock raises on purpose. This module imports nothing of ours.

PenstockError
├── Refused                     the caller's request cannot be fulfilled; nothing was changed
│   ├── BadInput          422   invalid content: every error in it is listed
│   ├── TooLarge          413
│   ├── BadRequest        400   for dialects that use 400: a batch of the wrong size
│   ├── Unauthenticated   401
│   ├── Forbidden         403
│   ├── NotFound          404   also for what belongs to another tenant
│   ├── UnknownModel      404   of a single call: a model that is not asked here
│   ├── Conflict          409   not in this state, or not right now (`retry_after`)
│   ├── Gone              410   it was here and was deleted
│   ├── UnknownForm       415   not a supported content type
│   ├── TooMany           429   more records than the tenant may submit now (`retry_after`)
│   ├── ClientGone        499   the client closed its connection: nobody reads this
│   ├── Unanswered        502   a caller waits for an answer that the provider did not give
│   └── Unavailable       503   not with this configuration, or not right now (`retry_after`)
├── IllegalMove                 a status change that is not allowed: a bug
├── Fault                       one record of an input is invalid; the others are still read
├── NotEditable                 no columns can be added to a workbook; its results become a plain sheet
├── LimiterAway                 Redis does not answer: no call may be sent
├── AddressRefused              a webhook's address is not one that may be reached
├── NameNotFound                a webhook's name leads nowhere
├── ReaderCut                   the reader of a job's events is disconnected
├── StackRefused                command line: the stack answered with an error
├── StackUnreachable            command line: the stack did not answer
├── StackGone                   command line: the stack ended while a job ran
└── ProviderError               a call without an answer; `blame` says who is at fault
    ├── AccountRefused          401, 402, 403, spend limits: holds the limit group
    ├── RateLimited             429
    ├── Overloaded              529, 502–504
    ├── Unreachable             the TCP connection was refused: nothing was sent
    ├── Misdirected             a redirect, a web page, an unknown path: the address is not the provider's
    ├── RequestRejected         400, 404, 413, 422: the record's own fault, final
    ├── RefusedTogether         the same for a call of several records: each is sent again alone
    ├── ServerFault             500
    ├── GatewayTimeout          524: a gateway gave up waiting; the provider may bill the call
    ├── TimedOut                no answer within the call's deadline
    ├── ConnectionCut           the connection broke after something was sent
    ├── BadAnswer               not a valid answer: HTML, truncated JSON
    ├── SchemaMismatch          a complete answer that does not match the requested schema
    ├── AnswerTruncated         an answer that was cut and therefore does not match it
    ├── AnswerRefused           the model refused, where an answer to a schema was requested
    └── AnswerPaused            the provider paused the answer, and it cannot be continued
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

Path = tuple[str | int, ...]


class PenstockError(Exception):
    """The root of the tree."""


class Refused(PenstockError):
    """The caller requested something that cannot be done. `type` and `status` are what the response says."""

    type = "refused"
    status = 400

    def __init__(
        self, message: str, details: Mapping[str, Any] | None = None, *, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.retry_after = retry_after  # seconds


class BadInput(Refused):
    """Content that cannot be accepted.

    `problems` are `{"where", "message"}`, in input order; `paths` are the same places as steps from the
    outside in (`("body", "records", 2, "prompt")`), for contracts that report them that way.
    """

    type = "invalid_request"
    status = 422

    def __init__(
        self,
        message: str,
        problems: Sequence[Mapping[str, Any]] = (),
        *,
        more: int = 0,
        paths: Sequence[Path] = (),
    ) -> None:
        details: dict[str, Any] = {"problems": [dict(problem) for problem in problems]} if problems else {}
        if more:
            details["more"] = more
        super().__init__(message, details)
        self.paths = paths

    @classmethod
    def of_field(cls, name: str, message: str, *, location: str = "body") -> "BadInput":
        """The fault of one field at the top of a body, or of one parameter of a `query`."""
        return cls(f"{name}: {message}", [{"where": name, "message": message}], paths=[(location, name)])


class NoHeader(BadInput):
    """A table in which the row of the header is empty; another one may be it."""


class BadRequest(Refused):
    type = "bad_request"
    status = 400


class TooLarge(Refused):
    type = "too_large"
    status = 413


class Unauthenticated(Refused):
    type = "unauthenticated"
    status = 401


class Forbidden(Refused):
    type = "forbidden"
    status = 403


class NotFound(Refused):
    type = "not_found"
    status = 404


class UnknownModel(NotFound):
    """A call that names a model which is not asked here, or not at this path."""

    type = "model_not_found"

    def __init__(self, message: str) -> None:
        super().__init__(message, {"problems": [{"where": "model", "message": message}]})


class Conflict(Refused):
    type = "conflict"
    status = 409


class Gone(Refused):
    type = "gone"
    status = 410


class UnknownForm(Refused):
    type = "unsupported_media_type"
    status = 415


class TooMany(Refused):
    type = "rate_limited"
    status = 429


class ClientGone(Refused):
    type = "client_gone"
    status = 499  # as nginx logs it


class Unanswered(Refused):
    type = "unanswered"
    status = 502


class Unavailable(Refused):
    type = "unavailable"
    status = 503


class IllegalMove(PenstockError):
    """A status change that `models.transitions` does not allow."""

    def __init__(self, what: str, old: str, new: str) -> None:
        super().__init__(f"{what} cannot go from {old} to {new}")


class NotEditable(PenstockError):
    """Columns cannot be added to a workbook; the message says why, as in "it has too many rows"."""


class Fault(PenstockError):
    """An error in one record; `column` if one cell is at fault."""

    def __init__(self, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column

    def place(self, where: str) -> str:
        """The error's position, in the record at `where`."""
        return where if self.column is None else f'{where}, column "{self.column}"'


class BlankPrompt(Fault):
    """A record whose prompt shows nothing, so that there is nothing to ask."""


class LimiterAway(PenstockError):
    """Redis does not answer: no call may be sent."""


class AddressRefused(PenstockError, OSError):
    """Nothing may be sent to this address; the message says why. An `OSError`, as of a socket."""


class NameNotFound(PenstockError, OSError):
    """A name was not found, or not in time."""


class ReaderCut(PenstockError):
    """A reader gets no more events: it was too far behind, or the process is about to stop."""


class StackRefused(PenstockError):
    """The stack rejected a request; the message is the stack's."""

    def __init__(self, status: int, error: Mapping[str, Any], retry_after: float | None = None) -> None:
        super().__init__(error.get("message") or f"the stack answered {status}")
        self.status = status
        self.retry_after = retry_after  # seconds; None: trying again would not help
        self.type = error.get("type", "")
        self.details: Mapping[str, Any] = error.get("details") or {}
        self.request_id = error.get("request_id")


class StackUnreachable(PenstockError):
    """There was no response, or the connection broke."""

    def __init__(self, url: str, error: Exception) -> None:
        super().__init__(
            f"no answer from {url} ({type(error).__name__}: {error}): is Penstock running there, and"
            " PENSTOCK_URL its address?"
        )


class StackGone(PenstockError):
    """The stack stopped responding midway."""


class Blame(StrEnum):
    """Who is at fault when a call has no answer; it decides what happens next."""

    ACCOUNT = "account"  # hold the limit group; no record uses up a try
    PROVIDER = "provider"  # all calls wait; no record uses up a try
    CONFIGURATION = "configuration"  # no probe would help: pause the job once several calls agree
    RECORD = "record"  # final, or one of the record's own tries


class Booking(StrEnum):
    """How the ledger books a call."""

    ANSWERED = "answered"  # the provider's response to it is known, and so is its cost
    UNCONFIRMED = "unconfirmed"  # it was sent and its outcome is unknown: it may be billed
    UNSENT = "unsent"  # not one byte of it reached the provider


ACCOUNT_PROBE = 60.0  # seconds between two probes of a group whose account is refused


class ProviderError(PenstockError):
    """A call without an answer.

    `type` is the record's `error.type`, `blame` who is at fault, `retryable` whether trying again may help,
    `booking` how the ledger books the call. `signals_outage`: when many of a group's calls end this way it is
    an outage, although each looks like its record's own failure.
    """

    type = "provider_error"
    blame = Blame.RECORD
    retryable = False
    booking = Booking.ANSWERED
    signals_outage = False
    shown_as = 502  # the status for a caller who waits for the answer, unless the provider gave one

    def __init__(
        self,
        message: str,
        *,
        type: str | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        limits: Any = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.limits = limits  # `app.providers.client.RateLimits`: the limits in the response's headers
        self.type = type or self.type
        self.retry_after = retry_after  # seconds, as the provider asked
        self.request_id = request_id
        self.repeated = False  # in a call of several records: already reported for another of them
        self.address: str | None = None  # that was asked, as people may see it
        self.status: int | None = None  # of the provider's response, where there was one
        self.body: object = None  # JSON of a refusal, as the provider wrote it


class AccountRefused(ProviderError):
    type = "account_refused"
    shown_as = 401
    blame = Blame.ACCOUNT
    retryable = True


class RateLimited(ProviderError):
    type = "rate_limited"
    shown_as = 429
    blame = Blame.PROVIDER
    retryable = True


class Overloaded(ProviderError):
    type = "overloaded"
    shown_as = 529
    blame = Blame.PROVIDER
    retryable = True


class Unreachable(ProviderError):
    type = "unreachable"
    shown_as = 503
    blame = Blame.PROVIDER
    retryable = True
    booking = Booking.UNSENT


class Misdirected(ProviderError):
    """Whoever answers at the address is not the provider, so no record is at fault.

    Only a web page amid answers may hide one that is billed, and sets `booking` to UNCONFIRMED.
    """

    type = "wrong_address"
    blame = Blame.CONFIGURATION
    retryable = True


class RequestRejected(ProviderError):
    type = "invalid_request"
    shown_as = 400


class RefusedTogether(ProviderError):
    """A call of several records was rejected, and it is unknown which record caused it."""

    type = "refused_together"
    retryable = True


class ServerFault(ProviderError):
    type = "server_error"
    shown_as = 500
    retryable = True
    signals_outage = True


class GatewayTimeout(ProviderError):
    type = "gateway_timeout"
    shown_as = 504
    retryable = True
    booking = Booking.UNCONFIRMED


class TimedOut(ProviderError):
    type = "timeout"
    shown_as = 504
    retryable = True
    booking = Booking.UNCONFIRMED
    signals_outage = True


class ConnectionCut(ProviderError):
    type = "connection_cut"
    retryable = True
    booking = Booking.UNCONFIRMED
    signals_outage = True


class BadAnswer(ProviderError):
    type = "bad_answer"
    retryable = True
    booking = Booking.UNCONFIRMED
    signals_outage = True


class SchemaMismatch(ProviderError):
    """A complete answer, paid for, that does not match the requested schema."""

    type = "schema_mismatch"
    retryable = True


class AnswerTruncated(ProviderError):
    """It is paid for and kept; the same request would be cut again."""

    type = "truncated"


class AnswerRefused(ProviderError):
    """It is paid for and kept; the same request would be refused again."""

    type = "refused"


class AnswerPaused(ProviderError):
    """It is paid for and kept as far as it came."""

    type = "paused"
