"""A pooler of PostgreSQL in transaction mode, as hosts have them: no session lasts longer than a transaction.

Each transaction is carried out by another server process than the one before it. What a client leaves in a
session for later is written down in `kept`: on a real pooler the next client would find it, or it would not.
"""

import re
import secrets
import socket
import socketserver
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from sqlalchemy import URL

SESSIONS = 8
OF_A_SESSION = re.compile(
    rb"\s*(SET\s+(?!LOCAL|TRANSACTION)|LISTEN|PREPARE|CREATE TEMP|DECLARE .* WITH HOLD|"
    rb"SELECT pg_(try_)?advisory_lock\b)",
    re.IGNORECASE,
)
ENCRYPTION, CANCELLATION = {80877103, 80877104}, 80877102  # instead of a version
READY, COPIES = b"Z", b"G"  # what a server says at the end of an answer, and when it waits for rows
ENDS_A_QUERY, ENDS_A_COPY = (b"Q", b"S"), (b"c", b"f")  # what a client sends before it waits


class Session:
    """A connection to a server process, ready for a transaction."""

    def __init__(self, path: str, startup: bytes) -> None:
        self._wire = socket.socket(socket.AF_UNIX)
        self._wire.connect(path)
        self.file = self._wire.makefile("rwb")
        self.file.write(struct.pack("!i", len(startup) + 4) + startup)
        self.file.flush()
        self.greeting = b""  # what a client must be told of the server
        while (message := read(self.file))[0:1] != READY:
            assert message[0:1] != b"E", message
            if message[0:1] == b"S":
                self.greeting += message

    def close(self) -> None:
        self._wire.close()


class Pooler(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, path: str, user: str, database: str) -> None:
        super().__init__(("127.0.0.1", 0), _Client)
        self.port = int(self.server_address[1])
        self.kept: list[bytes] = []
        self.transactions = 0
        startup = struct.pack("!i", 196608) + f"user\0{user}\0database\0{database}\0\0".encode()
        self._free = deque(Session(path, startup) for _ in range(SESSIONS))
        self._freed = threading.Condition()

    def take(self) -> Session:
        with self._freed:
            self._freed.wait_for(lambda: self._free)
            self.transactions += 1
            return self._free.popleft()

    def give_back(self, session: Session) -> None:
        with self._freed:
            self._free.append(session)
            self._freed.notify()

    def close(self) -> None:
        for session in self._free:
            session.close()

    @property
    def greeting(self) -> bytes:
        return self._free[0].greeting


class _Client(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle(self) -> None:
        pooler: Pooler = self.server  # type: ignore[assignment]
        with suppress(OSError, EOFError):
            if not self._greet(pooler):
                return
            while (message := read(self.rfile))[0:1] != b"X":
                self._transact(pooler, message)

    def _greet(self, pooler: Pooler) -> bool:
        """Whether a client wants to talk; the number of the server process that it is told is invented."""
        code = 0
        while code in {0, *ENCRYPTION}:
            (length,) = struct.unpack("!i", exactly(self.rfile, 4))
            (code,) = struct.unpack("!i", exactly(self.rfile, length - 4)[:4])
            if code in ENCRYPTION:
                self.wfile.write(b"N")
                self.wfile.flush()
        key = b"K" + struct.pack("!i", 12) + secrets.token_bytes(3) + b"\0" + secrets.token_bytes(4)
        let_in = b"R" + struct.pack("!ii", 8, 0)
        self.wfile.write(let_in + pooler.greeting + key + READY + struct.pack("!i", 5) + b"I")
        self.wfile.flush()
        return code != CANCELLATION

    def _transact(self, pooler: Pooler, first: bytes) -> None:
        """Pass on one transaction, which begins with `first`."""
        session, message, state, answered = pooler.take(), first, b"T", ENDS_A_QUERY
        while True:
            self._note(pooler, message)
            session.file.write(message)
            if message[0:1] in answered:
                session.file.flush()
                state = self._answer(session)
                # A COPY that came as a simple query ends without a Sync.
                answered = ENDS_A_COPY if state == COPIES and message[0:1] == b"Q" else ENDS_A_QUERY
            if state == b"I":
                break
            message = read(self.rfile)
        pooler.give_back(session)

    def _answer(self, session: Session) -> bytes:
        """Pass on the answer; returns the transaction's state, or that the server waits for rows."""
        while True:
            answer = read(session.file)
            self.wfile.write(answer)
            if answer[0:1] in (READY, COPIES):
                self.wfile.flush()
                return answer[-1:] if answer[0:1] == READY else COPIES

    def _note(self, pooler: Pooler, message: bytes) -> None:
        kind, body = message[0:1], message[5:]
        if kind == b"P":
            name, _, body = body.partition(b"\0")
            if name:
                pooler.kept.append(b"prepared " + body)
        if kind in (b"P", b"Q") and OF_A_SESSION.match(body):
            pooler.kept.append(body)


def read(file: BinaryIO) -> bytes:
    """The next message, with its kind and length."""
    head = exactly(file, 5)
    return head + exactly(file, struct.unpack("!i", head[1:])[0] - 4)


def exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        raise EOFError
    return found


@contextmanager
def pooler(url: URL) -> Iterator[Pooler]:
    """A pooler before the database at `url`, whose server listens on a Unix socket."""
    path = f"{url.query['host']}/.s.PGSQL.{url.port or 5432}"
    with Pooler(path, str(url.username), str(url.database)) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        try:
            yield made
        finally:
            made.shutdown()
            made.close()
