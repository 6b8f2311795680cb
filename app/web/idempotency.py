"""Requests that are sent again: they name themselves, or say that they are a retry."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from flask import request
from werkzeug.datastructures import Headers

from app.errors import BadInput
from app.ingest.documents import identity
from app.services.submission import Repeat

RETRIED_WITHIN = 60  # seconds; the official SDKs give up earlier
DESCRIPTION = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "maxLength": 255},
    "description": "A name for this call: sent again within a day, it is answered with what it made first.",
}

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Sending:
    """What the headers of a submission say of it."""

    key: str | None  # the caller's name for it
    retry: bool = False

    def repeat(self, fingerprint: bytes) -> Repeat:
        """What finds the submission of this content again.

        Without a name its content stands for one. No caller's name begins with a space.
        """
        if self.key is not None:
            return Repeat(self.key, fingerprint)
        return Repeat(f" {fingerprint.hex()}", fingerprint, within=RETRIED_WITHIN if self.retry else 0)


def sending(headers: Headers) -> Sending | None:
    """None when the submission can only be a new one. Raises `BadInput` for a name that is none.

    The official SDKs count their retries in `x-stainless-retry-count`, from 0 on.
    """
    key = headers.get("Idempotency-Key")
    if key is not None:
        if not _KEY.fullmatch(key):
            raise BadInput("Idempotency-Key: give 1 to 255 visible ASCII characters, without spaces")
        return Sending(key)
    count = headers.get("X-Stainless-Retry-Count", "")
    return Sending(None, retry=int(count) > 0) if count.isascii() and count.isdigit() else None


def repeat(content: Any) -> Repeat | None:
    """What finds this submission again when it is sent again.

    `content` is what it asks, of JSON's kinds and with documents that were received.
    """
    sent = sending(request.headers)
    if sent is None:
        return None
    asked = json.dumps([request.path, content], sort_keys=True, default=identity)
    return sent.repeat(hashlib.sha256(asked.encode()).digest())
