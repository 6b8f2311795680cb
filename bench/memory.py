"""Memory of the processes of a stack while something is going on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bench.service import Service

EVERY = 0.5  # seconds between two looks


class Memory:
    """The most that each part of a stack had at a time, in bytes, from the largest process of it."""

    def __init__(self, service: Service) -> None:
        self._processes = service.processes()
        self.before = self._look()
        self.most = dict(self.before)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)

    def _look(self) -> dict[str, int]:
        return {part: max(sizes, default=0) for part, sizes in self._processes.memory().items()}

    def _keep_looking(self) -> None:
        while not self._over.wait(EVERY):
            for part, size in self._look().items():
                self.most[part] = max(self.most.get(part, 0), size)

    def growth(self, part: str) -> float:
        """Megabytes."""
        return (self.most[part] - self.before.get(part, 0)) / 1e6

    @contextmanager
    def watched(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()
