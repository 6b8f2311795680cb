"""The records that this process holds, by its own count, and the rows put right by it.

A COMMIT whose answer was lost may have happened: what was claimed in it names this process's lease, and
nobody here knows of it. It would stay in flight until it is overdue.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog

from app.core.pipeline import recovery
from app.core.requests.claim import Claim
from models.session import in_transaction, lost_commits

log = structlog.get_logger()

LOOKS = 3  # beats after a lost COMMIT: a server that nobody hears any more may still carry it out
PATIENCE = 5.0  # seconds that a look waits for claims that are under way


class HeldClaims:
    """Used by every slice of the process, and by its writer, from their threads."""

    def __init__(self) -> None:
        # By (job, index). A record that went back may be claimed again before its first stay is let go.
        self._held: Counter[tuple[int, int]] = Counter()
        self._claiming = 0  # claims that may be committed, and are not in `_held` yet
        self._looking = False
        self._free = threading.Condition()  # guards all of these
        self._lost = lost_commits()  # as of the last beat
        self._looks = 0  # left to take

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Around a claim, until `hold` has heard of it. Waits for a look that is under way."""
        with self._free:
            self._free.wait_for(lambda: not self._looking)
            self._claiming += 1
        try:
            yield
        finally:
            with self._free:
                self._claiming -= 1
                self._free.notify_all()

    def hold(self, claims: Sequence[Claim]) -> None:
        with self._free:
            self._held.update((claim.job_id, claim.idx) for claim in claims)

    def let_go(self, claim: Claim) -> None:
        """What became of it is committed."""
        with self._free:
            self._held.subtract([(claim.job_id, claim.idx)])
            if self._held[claim.job_id, claim.idx] <= 0:
                del self._held[claim.job_id, claim.idx]

    def reconcile(self, lease_id: int) -> None:
        """Give back what only the rows know of, after a lost COMMIT. To be called with each beat."""
        if (lost := lost_commits()) != self._lost:
            self._lost, self._looks = lost, LOOKS
        if not self._looks:
            return
        with self._standing_still() as known:
            if known is None:
                return
            found = in_transaction(partial(recovery.give_back_unknown, lease_id=lease_id, known=known))
            self._looks -= 1
            if found:
                log.info("claims.put_right", lease=lease_id, records=found)

    @contextmanager
    def _standing_still(self) -> Iterator[frozenset[tuple[int, int]] | None]:
        """What is held, while no claim is under way and none begins; None when one takes long."""
        with self._free:
            self._looking = True
            quiet = self._free.wait_for(lambda: not self._claiming, PATIENCE)
            known = frozenset(self._held) if quiet else None
        try:
            yield known
        finally:
            with self._free:
                self._looking = False
                self._free.notify_all()
