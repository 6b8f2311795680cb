"""Message Batches on their way in: received in pieces, decoded, and read request by request onto disk."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from flask import request
from marshmallow import ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from app.dialects.anthropic.requests import Requests
from app.errors import TooLarge
from app.ingest.draft import Defaults, Problems
from app.ingest.spool import DraftSpool
from app.ingest.streams import codings, members
from app.providers import client_headers
from app.services.options import Options
from app.web import bodies, capacity, idempotency
from app.web.blueprint import WebhookUrl
from app.web.connection import while_connected
from app.web.large_bodies import Limit
from config import settings
from config.settings import Settings

MOST_BYTES = 256 * 2**20  # of a batch, also once it is decoded
PIECE = 256_000  # bytes that are received at once
DAY = 86_400  # seconds, after which a batch expires

WEBHOOK_URL = "webhook_url"


def _most(chosen: Settings) -> int:
    return min(MOST_BYTES, chosen.max_upload_bytes)


LIMIT = Limit("256 MiB, or MAX_UPLOAD_BYTES if that is less", _most)


def take_in(spool: DraftSpool) -> tuple[Defaults, Options]:
    """Fill `spool` with the requests of the batch in the request's body. Raises `Refused`."""
    bodies.require_json(request)
    chosen, sending = settings.current(), idempotency.sending(request.headers)
    said, digest = client_headers.passed_on(request.headers.items()), hashlib.sha256(request.path.encode())
    requests, others = Requests(chosen, said), dict[str, Any]()
    with capacity.memory() as memory:
        pieces = _noted(_body(_most(chosen)), digest, memory)
        for draft in while_connected(requests.drafts(members.items(pieces, "requests", others))):
            spool.add(draft)
    webhook_url = _webhook_url(others)
    digest.update(repr(sorted(said.items())).encode())
    repeat = None if sending is None else sending.repeat(digest.digest())
    return requests.defaults, Options(expires_in=DAY, webhook_url=webhook_url, repeat=repeat)


def _body(most: int) -> Iterator[bytes]:
    """The content of the body, decoded."""
    request.max_content_length = most
    try:
        pieces = iter(partial(request.stream.read, PIECE), b"")
        yield from codings.decoded(pieces, request.headers.get("Content-Encoding", ""), most)
    except RequestEntityTooLarge:
        raise TooLarge(f"the batch has over {most:,} bytes: send less at once") from None


def _noted(pieces: Iterable[bytes], digest: Any, memory: capacity.Memory) -> Iterator[bytes]:
    """`pieces`, in the digest; a batch that is large takes one of the few places for large content."""
    size = 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        memory.hold(size)
        yield piece


def _webhook_url(others: Mapping[str, Any]) -> str | None:
    """What the batch has besides its requests: an address that is told of its end, and nothing else."""
    problems = Problems()
    for name in [name for name in others if name != WEBHOOK_URL]:
        problems.add(
            name[:60], f"there is no such field: a batch has `requests`, and may have `{WEBHOOK_URL}`"
        )
    url: str | None = None
    try:
        url = WebhookUrl().deserialize(others.get(WEBHOOK_URL))
    except ValidationError as error:
        problems.add(WEBHOOK_URL, " ".join(map(str, error.messages)))
    problems.refuse()
    return url
