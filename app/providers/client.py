"""The interface between Penstock and the providers that answer records.

A provider is one class with the methods of `Client`. It is created, used and closed on the event loop of one
slice worker. It makes exactly one call for each `ask`: retries, limits and waiting are up to Penstock.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

# Why a message ended, in the words of its `stop_reason`.
MAX_TOKENS, WINDOW_FULL, REFUSAL, PAUSE = (
    "max_tokens",
    "model_context_window_exceeded",
    "refusal",
    "pause_turn",  # the provider has more to do: it goes on when it is asked with the content so far
)
CUT = frozenset({MAX_TOKENS, WINDOW_FULL})


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call; each kind has its own price."""

    input_tokens: int = 0  # neither read from nor written to the cache
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0

    @property
    def cache_write_tokens(self) -> int:
        """Tokens written to the cache, for any duration."""
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def prompt_tokens(self) -> int:
        """All tokens that were read, cached or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


KINDS = tuple(kind.name for kind in fields(Tokens))  # of tokens; a call's row has a column for each


@dataclass(frozen=True, slots=True)
class Usage(Tokens):
    """The usage of one call."""

    server_tool_uses: dict[str, int] = field(default_factory=dict)  # e.g. {"web_search_requests": 2}
    service_tier: str | None = None  # from the answer; "batch" is charged at the batch price

    def plus(self, other: "Usage") -> "Usage":
        """Both together, at the price of the other."""
        tools = Counter(self.server_tool_uses) + Counter(other.server_tool_uses)
        kinds = {kind: getattr(self, kind) + getattr(other, kind) for kind in KINDS}
        return Usage(**kinds, server_tool_uses=dict(tools), service_tier=other.service_tier)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Limits of a group: requests and tokens in any minute, and calls in flight. None: not known."""

    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `body` is one JSON object, its bytes as received except for line breaks between tokens."""

    body: bytes
    usage: Usage | None  # None: the answer does not say what it took, or not in a way that can be believed
    request_id: str | None
    text: str  # the answer's text blocks, joined: for the answer column of a table and for schema checks
    limits: RateLimits | None = None  # the limits in the answer's headers
    stop_reason: str | None = None  # why it ended; None: it does not say
    stop_details: str | None = None  # what the provider says about a refusal


NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Client(Protocol):
    """A client that answers records."""

    async def ask(
        self,
        params: dict[str, Any],
        *,
        deadline: float,
        attempt: int,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Reply:
        """Make one call with a whole Messages request and return its answer.

        `deadline` is in seconds from now, for everything from connecting to the last byte. `attempt` counts
        the calls for this record, from 1. `headers`, by lower-case names, are what the submitter's own client
        said to its provider, such as a version of its API: they replace this client's own, and are left out
        where they mean nothing. Raises `ProviderError` (see `app.errors`) and, when cancelled,
        closes the connection before it returns.
        """

    async def close(self) -> None:
        """Close every connection."""


@runtime_checkable
class Streaming(Protocol):
    """A client whose answers may also come in parts."""

    async def stream(
        self,
        params: dict[str, Any],
        *,
        deadline: float,
        attempt: int,
        hand_on: Callable[[bytes], None],
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Reply:
        """As `ask`, with the answer streamed: each server-sent event is handed on whole, as it came.

        Returns the answer that all of them make. An event that says that the call failed is not handed on: it
        is the error that is raised.
        """
