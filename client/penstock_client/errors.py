"""Every error of this package:

PenstockError
├── Unreachable     no answer came: the server is away, or the address is wrong
├── Refused         the server answered with an error that is none of the following
│   ├── BadInput    rows, fields or a file that cannot be taken; `details["problems"]` lists each
│   ├── NotAllowed  the key is unknown, or lacks a scope
│   ├── NotFound    there is no such job, or its content was deleted
│   ├── Conflict    the job is not in a state for that
│   └── Busy        not now; it was asked again for as long as the client's `patience` lasts
└── JobStopped      the job is paused, or ended before all of its records were asked
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock_client.objects import Job


class PenstockError(Exception):
    """What went wrong, in a sentence; the other facts are None, or empty, where there are none."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str | None = None,
        details: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status  # of HTTP
        self.type = type  # the server's word for it
        self.details: Mapping[str, Any] = details or {}
        self.request_id = request_id  # by which the server's log has it
        self.retry_after = retry_after  # seconds


class Unreachable(PenstockError):
    """No answer came. `is_unsent`: the connection was never made, so that nothing can have been done."""

    def __init__(self, message: str, *, is_unsent: bool = False, is_lasting: bool = False) -> None:
        super().__init__(message)
        self.is_unsent = is_unsent
        self.is_lasting = is_lasting  # another try would end the same way


class Refused(PenstockError):
    """The server answered with an error."""


class BadInput(Refused): ...


class NotAllowed(Refused): ...


class NotFound(Refused): ...


class Conflict(Refused): ...


class Busy(Refused): ...


class JobStopped(PenstockError):
    """Some records of the job were not asked. All answers that there are have been given."""

    def __init__(self, job: Job) -> None:
        reason = f": {job.status_reason}" if job.status_reason else ""
        todo = "; `resume()` goes on with it" if job.status == "paused" else ""
        ended = f"{job.counts.ended:,} of {job.total:,} records have ended"
        super().__init__(f"job {job.id} is {job.status}{reason} ({ended}){todo}")
        self.job = job


CLASSES: Mapping[int, type[Refused]] = {
    **dict.fromkeys((400, 413, 415, 422), BadInput),
    **dict.fromkeys((401, 403), NotAllowed),
    **dict.fromkeys((404, 410), NotFound),
    409: Conflict,
    **dict.fromkeys((429, 502, 503, 504), Busy),
}
