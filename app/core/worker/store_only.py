"""Documents that are only stored: nobody is asked, so each ends in the transaction that claims it.

Their bytes lie in the object store already, before their job was anybody's. There is no call, no permit, no
attempt and no moment at which a crash could leave one half done.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.core.money import ledger
from app.core.pipeline import claims, outcomes
from app.core.pipeline.outcomes import Outcome, Written
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.ingest import documents
from app.ingest.values import to_json
from models.record import RecordStatus


@dataclass(frozen=True, slots=True)
class Ended:
    """Documents that have ended; `more` says whether the window holds others."""

    outcomes: list[Outcome]
    written: Written
    more: bool


def end_next(
    session: Session, job: JobContext, window_id: int, epoch: int, lease_id: int, limit: int
) -> Ended:
    """Claim and end up to `limit` documents of a window."""
    taken = claims.take(session, window_id, epoch, lease_id, limit, calls=0)
    group = [_outcome(job, claim) for claim in taken.claims]
    return Ended(group, outcomes.write(session, group), taken.open)


def _outcome(job: JobContext, claim: Claim) -> Outcome:
    document = documents.read(claim.body)
    assert document is not None, "a job that asks nobody has nothing but documents"
    outcome = Outcome(job, claim, ledger.NO_CALL, RecordStatus.SUCCEEDED)
    if document.fault is None:
        outcome.body = to_json(document.told())
    else:
        outcome.status = RecordStatus.FAILED
        outcome.error_type, outcome.error_message = documents.BAD_DOCUMENT, document.fault
    return outcome
