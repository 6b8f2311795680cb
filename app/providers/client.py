"""The seam between Penstock and whatever answers a record.

A provider is one class with the methods of `Client`. It is made, used and closed on the event loop of one
slice worker. It makes exactly one call for each `ask`: no retries, no limits, no waiting; those are ours.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call, each kind priced by itself."""

    input_tokens: int = 0  # neither read from nor written to the cache
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0

    @property
    def cache_write_tokens(self) -> int:
        """Written to the cache, for however long."""
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def prompt_tokens(self) -> int:
        """All that was read, from wherever."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


KINDS = tuple(kind.name for kind in fields(Tokens))  # of tokens; a call's row has a column for each


@dataclass(frozen=True, slots=True)
class Usage(Tokens):
    """What one call took."""

    server_tool_uses: dict[str, int] = field(default_factory=dict)  # e.g. {"web_search_requests": 2}
    service_tier: str | None = None  # as the answer says; "batch" pays the batch's price


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Limits of a group: requests and tokens in any minute, and calls at a time. None: not known."""

    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `body` is one JSON object, the bytes as they came but for line breaks between tokens."""

    body: bytes
    usage: Usage
    request_id: str | None
    text: str  # the answer's text blocks, joined: what a table's answer column and a schema check look at
    limits: RateLimits | None = None  # the limits that the answer's headers named


class Client(Protocol):
    """What answers a record."""

    async def ask(self, params: dict[str, Any], *, deadline: float, attempt: int) -> Reply:
        """Make one call with a whole Messages request and bring its answer.

        `deadline` is in seconds from now, for everything from connecting to the last byte. `attempt` counts
        the calls for this record, from 1. Raises `ProviderError` (see `app.errors`) and, when cancelled,
        closes the connection before it lets go.
        """

    async def close(self) -> None:
        """Close every connection."""
