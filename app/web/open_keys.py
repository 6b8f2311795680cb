"""Responses that take long end when the key of their caller is revoked."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from flask import request

from app.core.accounts.revocation import watch
from app.errors import Unauthenticated
from app.web.auth import caller


def until_revoked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks, until the caller's key is revoked: then the connection is cut.

    A response that ended in good order would look complete.
    """
    return _chunks(chunks, caller().key_id, _connection())


@contextmanager
def while_valid() -> Iterator[int | None]:
    """The caller's key, for a wait; raises `Unauthenticated` at its end if the key was revoked meanwhile."""
    me = caller()
    with watch().use(me.key_id) as use:
        yield me.key_id
    if use.revoked:
        raise Unauthenticated(f"the API key {me.prefix} was revoked while this request waited")


def _chunks(chunks: Iterator[bytes], key_id: int | None, connection: socket.socket | None) -> Iterator[bytes]:
    with watch().use(key_id, partial(_cut, connection)) as use:
        for chunk in chunks:
            if use.revoked:
                return
            yield chunk


def _connection() -> socket.socket | None:
    """The request's connection; None where the server does not tell it."""
    found: socket.socket | None = request.environ.get(
        "gunicorn.socket", request.environ.get("werkzeug.socket")
    )
    return found


def _cut(connection: socket.socket | None) -> None:
    try:
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the client has gone
