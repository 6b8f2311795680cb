"""Who has signed in with the browser that a request comes from."""

from typing import cast

from flask import g

from app.core.accounts import api_keys, browser_sessions
from app.core.accounts.api_keys import Caller
from app.core.accounts.browser_sessions import Found, Holder
from app.dashboard import cookie
from app.errors import Unauthenticated
from app.web import auth
from models.session import in_transaction, reading


def identify() -> Caller:
    """The caller that the cookie's session acts for; raises `Unauthenticated`."""
    text = cookie.token()
    if text is None:
        raise Unauthenticated("sign in first: this browser has no session")
    with reading() as session:
        found = browser_sessions.find(session, text)
        if found is None:
            raise Unauthenticated("sign in first: the session of this browser has ended")
        caller = None if found.holder.key_id is None else api_keys.find_caller(session, found.holder.key_id)
    g.browser_session = found
    if found.holder.key_id is None:
        caller = _without_row(found.holder)
    if caller is None:
        raise Unauthenticated("the API key that this browser signed in with was revoked: use another one")
    return caller


def holder_of(text: str) -> Holder:
    """Whom a session acts for that begins with the key `text`; raises `Unauthenticated`."""
    caller = auth.caller_with(text)
    return Holder(caller.key_id) if caller.key_id is not None else Holder(None, api_keys.digest(text))


def notice() -> str | None:
    """What the session's last request left for its next page, which then forgets it."""
    found = cast(Found | None, g.get("browser_session"))
    if found is None or found.notice is None:
        return None
    text = cast(str, cookie.token())
    in_transaction(lambda session: browser_sessions.take_notice(session, text))
    return found.notice


def _without_row(holder: Holder) -> Caller | None:
    return auth.nobody() if holder.key_sha256 is None else auth.of_environment(holder.key_sha256)
