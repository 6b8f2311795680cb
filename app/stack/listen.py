"""The web's listening socket.

The stack itself opens it and passes it to the web process: the port is taken, or refused, before anything is
started, and while a web process that died is restarted, clients wait instead of being refused.
"""

import errno
import socket

from app.errors import Conflict, Unavailable


def listen(host: str, port: int) -> socket.socket:
    """Listen on `host` and `port` (0: a free one)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise _refusal(error, host, port) from None


def address(listener: socket.socket) -> str:
    """The listener's address for programs on this machine."""
    host, port = listener.getsockname()[:2]
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host)  # noqa: S104 - translated, not bound
    return f"http://{local or (f'[{host}]' if ':' in host else host)}:{port}"


def _refusal(error: OSError, host: str, port: int) -> Conflict | Unavailable:
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            f"port {port} of {host} is in use: choose another with --port, or --port 0 for a free one"
        )
    if error.errno == errno.EACCES:
        return Unavailable(
            f"port {port} needs privileges that this user does not have: choose one from 1024 on with --port"
        )
    return Unavailable(
        f"cannot listen on {host}, port {port} ({error.strerror or error}): "
        "choose an address of this machine with --host"
    )
