"""The cookie that holds a browser's token: that of its session, or a random one before it signs in."""

import hmac
import secrets

from flask import Response, request

NAME = "penstock_session"
PATH = "/ui"


def token() -> str | None:
    """The token that the request's browser has."""
    return request.cookies.get(_name()) or None


def give(response: Response, text: str, seconds: float | None = None) -> None:
    """Have the browser keep a token, until it is closed if no `seconds` are given."""
    response.set_cookie(
        _name(),
        text,
        max_age=None if seconds is None else int(seconds),
        path=PATH,
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def take(response: Response) -> None:
    response.delete_cookie(_name(), path=PATH, secure=request.is_secure, httponly=True, samesite="Lax")


def new_token() -> str:
    return secrets.token_urlsafe(32)


def form_token(text: str) -> str:
    """What every form of the browser with this token must send back: no page elsewhere can know it."""
    return hmac.digest(text.encode(), b"form", "sha256").hex()


def _name() -> str:
    """Its name: browsers give a cookie to every port of a host, and each may have a stack of its own."""
    port = request.host.rpartition(":")[2]
    return f"{NAME}_{port}" if port.isdecimal() else NAME
