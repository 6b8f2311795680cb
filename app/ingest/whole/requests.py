"""Whole requests for a path of an OpenAI-compatible API: checked, and made into drafts.

Their bodies are sent as they stand. A Messages request in the same envelope becomes a record's `params`.
"""

from collections.abc import Mapping
from typing import Any

from app.errors import Fault
from app.ingest.bounds import MAX_TOKENS, bounds_answer, priced_by
from app.ingest.draft import Defaults, Draft, as_json, sized
from app.ingest.values import kind_of, quoted
from app.ingest.whole import bounds

MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"
ASKS_IN = {  # by path: what its bodies ask, of which one must be there
    "/v1/chat/completions": ("messages",),
    "/v1/responses": ("input", "prompt"),
    "/v1/embeddings": ("input",),
    "/v1/completions": ("prompt",),
}
MAX_MODEL = 200  # characters
REFUSED = {"stream": "answers are never streamed", "background": "an answer is waited for"}


def draft(url: Any, body: Any, defaults: Defaults, *, custom_id: str | None = None) -> Draft:
    """The draft of one request. Raises `Fault` for an unknown path, and for a body that is no request.

    The endpoint checks everything else.
    """
    if not isinstance(url, str) or url not in ASKS_IN:
        known = ", ".join(map(quoted, (*ASKS_IN, MESSAGES)))
        raise Fault(f'"url" must be one of {known}, found {url!r:.100}')
    _check(url, body)
    stored = b'{"url":%b,"body":%b}' % (as_json(url), as_json(body))
    model = body["model"]
    return Draft(
        stored,
        sized(len(stored), defaults),
        custom_id,
        max_tokens=bounds.most_tokens(url, body),
        model=model,
        unbounded=bounds.unbounded(url, body),
        priced_by=priced_by({"model": model}, defaults),
    )


def _check(url: str, body: Any) -> None:
    if not isinstance(body, dict):
        raise Fault(f'"body" must be an object, found {kind_of(body)}')
    model = body.get("model")
    if not isinstance(model, str) or not 1 <= len(model) <= MAX_MODEL or not model.isprintable():
        raise Fault('body: "model" must be the name of a model')
    asks = ASKS_IN[url]
    if not any(body.get(name) for name in asks):
        raise Fault(f"body: give {' or '.join(map(quoted, asks))}, which may not be empty")
    for name, why in REFUSED.items():
        if body.get(name):
            raise Fault(f'body: "{name}" is not supported: {why}')
    _check_bound(body)


def _check_bound(body: Mapping[str, Any]) -> None:
    for name in bounds.MOST:
        value = body.get(name)
        if value is not None and not bounds_answer(value):
            raise Fault(f'body: "{name}" must be a whole number from 1 to {MAX_TOKENS:,}')
