"""What jobs wait for, as told to people."""

from collections.abc import Sequence

import redis

from app.core.limits.redis_client import guarded, key


class Reasons:
    """A limit, a job's seats, or why its group is held; the limiter's scripts note them too."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def of(self, job_id: int) -> str | None:
        """What the job waited for a moment ago."""
        return self.of_all([job_id])[job_id]

    def of_all(self, job_ids: Sequence[int]) -> dict[int, str | None]:
        """What each of the jobs waited for a moment ago, with one command."""
        if not job_ids:
            return {}
        reasons = guarded(lambda: self._redis.mget([key("why", job_id) for job_id in job_ids]))
        return dict(zip(job_ids, reasons, strict=True))

    def report(self, job_id: int, reason: str) -> None:
        """Report what holds the job back besides its limits; forgotten unless reported again every second."""
        guarded(lambda: self._redis.set(key("why", job_id), reason, ex=3))
