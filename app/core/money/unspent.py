"""What a tenant's jobs did not pay: what was answered before, is asked twice, or is in a provider's cache."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.money.usage import Span
from models.job import Job, JobCounts


@dataclass(frozen=True, slots=True)
class Unspent:
    """Records, and pico-dollars that asking them would have cost, as far as that is known."""

    copies: int
    copied_cost: int
    reused: int
    reused_cost: int
    cached_cost: int  # that their answers would have cost more

    @property
    def cost(self) -> int:
        """All of it."""
        return self.copied_cost + self.reused_cost + self.cached_cost


def read(session: Session, tenant_id: int, span: Span) -> Unspent:
    """Of the jobs that were submitted within the span."""
    sums = (Job.copies, JobCounts.copied_cost, Job.reused, Job.reused_cost, JobCounts.cache_saved)
    found = session.execute(
        select(*(func.coalesce(func.sum(each), 0) for each in sums))
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(Job.tenant_id == tenant_id, Job.created_at >= span.since, Job.created_at < span.until)
    ).one()
    return Unspent(*map(int, found))
