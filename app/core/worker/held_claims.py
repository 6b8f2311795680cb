"""The records that this process holds, by its own count, and the rows reconciled with it.

A COMMIT whose reply was lost may have happened: the records claimed in it name this process's lease, but the
process does not know of them. They would stay in flight until they are overdue.
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

CHECKS = 3  # one with each beat after a lost COMMIT, which a server may still carry out when it cannot reply
PATIENCE = 5.0  # seconds that a check waits for claims under way


class HeldClaims:
    """Used by every slice of the process, and by its writer, from their threads."""

    def __init__(self) -> None:
        # By (job, index). A record that was given back may be claimed again before its first `let_go`.
        self._held: Counter[tuple[int, int]] = Counter()
        self._claiming = 0  # claims that may be committed, and are not in `_held` yet
        self._checking = False
        self._changed = threading.Condition()  # guards all of these
        self._lost = lost_commits()  # as of the last beat
        self._checks_left = 0

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Enclose a claim and the `hold` of its records. Waits for a check under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._checking)
            self._claiming += 1
        try:
            yield
        finally:
            with self._changed:
                self._claiming -= 1
                self._changed.notify_all()

    def hold(self, claims: Sequence[Claim]) -> None:
        with self._changed:
            self._held.update((claim.job_id, claim.idx) for claim in claims)

    def let_go(self, claim: Claim) -> None:
        """The record's outcome is committed."""
        with self._changed:
            self._held.subtract([(claim.job_id, claim.idx)])
            if self._held[claim.job_id, claim.idx] <= 0:
                del self._held[claim.job_id, claim.idx]

    def reconcile(self, lease_id: int) -> None:
        """After a lost COMMIT, give back records that only the rows know of. To be called with each beat."""
        if (lost := lost_commits()) != self._lost:
            self._lost, self._checks_left = lost, CHECKS
        if not self._checks_left:
            return
        with self._no_claims() as known:
            if known is None:
                return
            found = in_transaction(partial(recovery.give_back_unknown, lease_id=lease_id, known=known))
            self._checks_left -= 1
            if found:
                log.info("claims.put_right", records=found)

    @contextmanager
    def _no_claims(self) -> Iterator[frozenset[tuple[int, int]] | None]:
        """Let no claim begin; yields what is held, or None when a claim under way takes too long."""
        with self._changed:
            self._checking = True
            quiet = self._changed.wait_for(lambda: not self._claiming, PATIENCE)
            known = frozenset(self._held) if quiet else None
        try:
            yield known
        finally:
            with self._changed:
                self._checking = False
                self._changed.notify_all()
