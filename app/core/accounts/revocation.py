"""Whatever is open with an API key ends soon after the key is revoked.

Streams, downloads, waits and sockets outlive the request that checked their key. While a process has any, one
thread asks for all of their keys at once whether they were revoked: by this process, another one or a
command.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import select

from app.core.outages import servers
from config.once import once
from models.session import reading
from models.tenant import ApiKey

LOOK = 2.0  # seconds between two looks


class Use:
    """Something open with a key; `end` is called when the key is revoked, on the thread that looks."""

    def __init__(self, end: Callable[[], None]) -> None:
        self.revoked = False
        self.end = end


class Watch:
    """What is open in this process, by key, and the thread that looks; it runs while there is anything."""

    def __init__(self) -> None:
        self._uses: defaultdict[int, set[Use]] = defaultdict(set)
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    @contextmanager
    def use(self, key_id: int | None, end: Callable[[], None] = lambda: None) -> Iterator[Use]:
        """Keep something open with the key; None is never revoked (see `Caller.key_id`).

        `end` must return at once, and is not called after the block.
        """
        made = Use(end)
        if key_id is None:
            yield made
            return
        self._add(key_id, made)
        try:
            yield made
        finally:
            self._remove(key_id, made)

    def _add(self, key_id: int, use: Use) -> None:
        with self._changed:
            self._uses[key_id].add(use)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="revocation", daemon=True)
                self._thread.start()

    def _remove(self, key_id: int, use: Use) -> None:
        with self._changed:
            self._uses[key_id].discard(use)
            if not self._uses[key_id]:
                del self._uses[key_id]
            self._changed.notify_all()

    def _run(self) -> None:
        while keys := self._next():
            try:
                self._revoke(_revoked(keys))
            except Exception as error:
                # Mostly the database is away; then nothing that is open learns anything new either.
                servers.tell(error, "revoked keys")

    def _next(self) -> list[int]:
        """The keys in use, after a while; none ends the thread."""
        with self._changed:
            self._changed.wait_for(lambda: not self._uses, timeout=LOOK)
            if not self._uses:
                self._thread = None
            return list(self._uses)

    def _revoke(self, keys: Iterable[int]) -> None:
        with self._changed:
            uses = [use for key_id in keys for use in self._uses.get(key_id, ()) if not use.revoked]
            for use in uses:
                use.revoked = True
            for use in uses:  # whoever is woken by one may look at another
                use.end()


def _revoked(keys: Iterable[int]) -> list[int]:
    with reading() as session:
        return list(
            session.scalars(select(ApiKey.id).where(ApiKey.id.in_(keys), ApiKey.revoked_at.is_not(None)))
        )


@once
def watch() -> Watch:
    """The watch of this process."""
    return Watch()
