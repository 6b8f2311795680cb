"""The jobs that a run finds when it begins: its own, a sample of it, and others."""

from collections.abc import Sequence
from itertools import islice

from app.cli import words
from app.cli.client import Job, Rest
from app.cli.order import FINGERPRINT, WHOLE, Order

LOOKED_AT = 1_000  # the newest jobs


def look(rest: Rest) -> list[Job]:
    """The newest jobs, the newest first."""
    return list(islice(rest.jobs(), LOOKED_AT))


def own(jobs: Sequence[Job], order: Order) -> Job | None:
    """The last job that an equal command submitted."""
    fingerprint = order.fingerprint()
    return next((job for job in jobs if job["metadata"].get(FINGERPRINT) == fingerprint), None)


def sample(jobs: Sequence[Job], order: Order) -> str | None:
    """The id of the job with the most answers among those with the same prompt for rows of the same file."""
    whole = order.whole_fingerprint()
    same = [job for job in jobs if job["metadata"].get(WHOLE) == whole and job["counts"]["succeeded"]]
    best = max(same, key=lambda job: job["counts"]["succeeded"], default=None)
    return None if best is None else str(best["id"])


def waiting(jobs: Sequence[Job], order: Order) -> list[Job]:
    """The jobs of others that can go on."""
    fingerprint = order.fingerprint()
    others = [job for job in jobs if job["metadata"].get(FINGERPRINT) != fingerprint]
    return [job for job in others if not words.is_over(job) and job["status"] != "cancelling"]
