"""Room on disk for large bodies: so much in all, and a tenant may take half of it."""

import threading
from collections import Counter

from app.server.bounds import BODIES, FIRST_GRANT, LARGEST_STEP, LEAST


class Room:
    """The bytes that bodies hold. Threads ask for room, and the poller gives it back."""

    def __init__(self, most: int = BODIES) -> None:
        self.most = most
        self._held: Counter[int] = Counter()  # by tenant
        self._lock = threading.Lock()

    def take(self, tenant: int, count: int) -> bool:
        with self._lock:
            if self._held[tenant] + count > self.most // 2 or self._held.total() + count > self.most:
                return False
            self._held[tenant] += count
            return True

    def give_back(self, tenant: int, count: int) -> None:
        with self._lock:
            self._held[tenant] -= count
            if not self._held[tenant]:
                del self._held[tenant]


class Grant:
    """The room of one body."""

    def __init__(self, room: Room) -> None:
        self.bytes = 0  # that the body may have
        self._room = room
        self._tenant = 0
        self._taken = 0

    def take(self, tenant: int, size: int, *, is_final: bool) -> bool:
        """Take room for a body of `size` bytes, or for more if it may grow; false: there is none."""
        wanted = size if is_final else max(FIRST_GRANT, size + min(size, LARGEST_STEP))
        more = max(wanted, LEAST) - self._taken
        if more > 0 and not self._room.take(tenant, more):
            return False
        self._tenant, self._taken = tenant, self._taken + max(more, 0)
        self.bytes = max(self.bytes, wanted)
        return True

    def give_back(self) -> None:
        if self._taken:
            self._room.give_back(self._tenant, self._taken)
        self.bytes = self._taken = 0
