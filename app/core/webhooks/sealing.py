"""Encryption of what must be read back, such as the secrets that sign webhooks.

A hash will not do for these, and a database or a backup of it must not be enough to sign in our name. The
keys are those of PENSTOCK_SECRET_KEY; where it is not set, one in a file of PENSTOCK_DATA, which web and
workers share, made when it is first needed.
"""

import base64
import hashlib
import os
import secrets
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import Unavailable
from config import settings

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

FILE = "secret-key"


def seal(text: str) -> bytes:
    return _box(_keys(may_make=True)).encrypt(text.encode())


def unseal(sealed: bytes) -> str:
    """The text; raises `Unavailable` when none of the keys is the one that sealed it."""
    from cryptography.fernet import InvalidToken

    try:
        return _box(_keys(may_make=False)).decrypt(sealed).decode()
    except InvalidToken:
        raise Unavailable(_LOST) from None


_LOST = (
    "a stored secret cannot be decrypted: it was encrypted with another key than PENSTOCK_SECRET_KEY has, or"
    f" than there is in the file {FILE} of PENSTOCK_DATA. Put that key back, or rotate the secret"
)


@cache
def _box(keys: tuple[str, ...]) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet  # not needed at startup

    digests = [hashlib.sha256(key.encode()).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


def _keys(*, may_make: bool) -> tuple[str, ...]:
    """The first one encrypts, all of them decrypt: the file's too, where the variable was set later."""
    given, path = settings.current().secret_keys, settings.current().data / FILE
    try:
        return (*given, path.read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        if given:
            return given
    if not may_make:
        raise Unavailable(_LOST)
    return (_make(path),)


def _make(path: Path) -> str:
    """A new key in a file; the key of whoever was first when two processes make one at once."""
    own = path.with_name(f"{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    own.touch(mode=0o600)
    try:
        own.write_text(secrets.token_hex(32) + "\n", encoding="utf-8")
        os.link(own, path)  # whole or not at all
    except FileExistsError:
        pass
    finally:
        own.unlink()
    return path.read_text(encoding="utf-8").strip()
