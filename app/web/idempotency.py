"""Requests that are sent again: they carry a key, or a header that marks them as a retry."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from flask import request
from werkzeug.datastructures import Headers

from app.errors import BadInput
from app.ingest.documents import identity
from app.ingest.values import whole_number
from app.services.options import Repeat

KEPT = 86_400  # seconds for which a caller's key means its first call
RETRIED_WITHIN = 60  # seconds; the official SDKs give up earlier
DESCRIPTION = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
    "description": "A name for this call: repeating it within a day returns the result of the first call.",
}

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Sending:
    """What a submission's headers say about repetition."""

    key: str | None  # the caller's name for it
    retry: bool = False

    def repeat(self, fingerprint: bytes) -> Repeat:
        """What identifies a repeated submission of this content.

        Without a key the content itself is used. No caller's key begins with a space.
        """
        if self.key is not None:
            return Repeat(self.key, fingerprint)
        return Repeat(f" {fingerprint.hex()}", fingerprint, within=RETRIED_WITHIN if self.retry else 0)


def sending(headers: Headers) -> Sending | None:
    """None when the submission can only be a new one. Raises `BadInput` for an invalid key.

    The official SDKs count their retries in `x-stainless-retry-count`, starting at 0.
    """
    key = headers.get("Idempotency-Key")
    if key is not None:
        if not _KEY.fullmatch(key):
            raise BadInput("Idempotency-Key: give 1 to 255 visible ASCII characters, without spaces")
        return Sending(key)
    count = whole_number(headers.get("X-Stainless-Retry-Count", ""))
    return None if count is None or count < 0 else Sending(None, retry=count > 0)


def repeat(content: Any) -> Repeat | None:
    """What identifies this submission when it is sent again.

    `content` is the request as JSON types, with documents already received.
    """
    sent = sending(request.headers)
    if sent is None:
        return None
    asked = json.dumps([request.path, content], sort_keys=True, default=identity)
    return sent.repeat(hashlib.sha256(asked.encode()).digest())
