"""What is tried with an answer that does not match its schema, before its record fails.

What can be read without guessing was mended before this. Then the model is told, in the same conversation,
what is wrong; then the stronger model is asked that the job names. Each rung is a call of its own: it has a
permit, is booked, and fits under the caps. An answer that was cut or refused climbs nothing: the next would
be, too.
"""

from typing import Any

from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.requests.prompt_cache import layout
from app.errors import SchemaMismatch
from app.providers.client import Reply

TOLD = 2  # times that a model is told what is wrong
MENDED, ASKED_AGAIN, ESCALATED = "mended", "asked_again", "escalated"
TELLING = "{fault}\nGive the whole answer again, with nothing but JSON that matches the schema."


class Ladder:
    """The rungs of one record, used on the event loop; when claimed again it begins at the bottom."""

    def __init__(self, job: JobContext, claim: Claim) -> None:
        self._job, self._claim = job, claim
        self._told = 0
        self._first: dict[str, Any] = {}  # the request without what was told since
        self._escalated = False

    def repair(self, *, is_mended: bool) -> str | None:
        """What made an answer fit; None if it did so at once."""
        if self._escalated:
            return ESCALATED
        if self._told:
            return ASKED_AGAIN
        return MENDED if is_mended else None

    def next(self, params: dict[str, Any], reply: Reply, fault: SchemaMismatch) -> dict[str, Any] | None:
        """The request that follows `params`, which was answered so; None where nothing is left to try.

        Telling uses one of the record's tries. Nobody waits for the answers of a job with this.
        """
        if self._job.attended is not None:
            return None
        self._first = self._first or params
        if self._told < TOLD and not self._escalated and self._claim.tries < self._job.retries:
            self._told += 1
            return {**params, "messages": [*params["messages"], *_telling(reply, fault)]}
        if self._job.escalate_to is None or self._escalated:
            return None
        self._escalated = True
        is_marked = self._job.least_cacheable is not None and not layout.sets_its_own(self._claim.body)
        first = layout.unmarked(self._first) if is_marked else self._first
        return {**first, "model": self._job.escalate_to}


def _telling(reply: Reply, fault: SchemaMismatch) -> list[dict[str, Any]]:
    told = {"role": "user", "content": TELLING.format(fault=fault.message)}
    return [{"role": "assistant", "content": reply.text}, told] if reply.text.strip() else [told]
