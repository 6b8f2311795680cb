"""The cache of the tests' provider: beginnings of requests that it keeps, and what each writes and reads.

By organisation and model, for exactly the same beginning up to a breakpoint; from a least size on; there once
the answer of the request that wrote it has begun; until its lifetime is over, which every reading renews.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.upstream_messages import count_tokens

MOST_BREAKPOINTS = 4
LOOKBACK = 20  # blocks before a breakpoint in which an earlier one is found
MINUTES, HOUR = "5m", "1h"


class TooManyBreakpoints(ValueError):
    """A request is refused for this."""


@dataclass
class Block:
    """A part of a request, in its order."""

    key: str  # of all that precedes it, with it
    tokens: int  # of all that precedes it, with it
    lasts: str | None  # a breakpoint: for how long


@dataclass
class Found:
    """What of a request is read, and what it writes, by lifetime: kept once its answer has begun."""

    read: int = 0
    reads: str = ""  # the key of that beginning
    written: dict[str, int] = field(default_factory=lambda: {MINUTES: 0, HOUR: 0})
    writes: list[tuple[str, str]] = field(default_factory=list)


class PromptCache:
    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}  # monotonic, by owner and beginning
        self._lasts: dict[tuple[str, str], str] = {}

    def look(self, owner: str, params: dict[str, Any], least: int) -> Found:
        blocks = list(_blocks(params))
        marks = [number for number, block in enumerate(blocks) if block.lasts is not None]
        if len(marks) > MOST_BREAKPOINTS:
            raise TooManyBreakpoints(
                f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control are allowed, not {len(marks)}."
            )
        found, longest = Found(), -1
        for mark in marks:
            for number in range(mark, max(-1, mark - LOOKBACK), -1):
                if number > longest and self._is_there(owner, blocks[number].key):
                    longest, found.read, found.reads = number, blocks[number].tokens, blocks[number].key
                    break
        so_far = found.read
        for mark in (mark for mark in marks if mark > longest and blocks[mark].tokens >= least):
            block = blocks[mark]
            assert block.lasts is not None
            found.written[block.lasts] += block.tokens - so_far
            found.writes.append((block.key, block.lasts))
            so_far = block.tokens
        return found

    def keep(self, owner: str, found: Found, seconds: dict[str, float]) -> None:
        """The answer has begun: from now on others read what this one has written."""
        for key, lasts in found.writes:
            self._until[owner, key] = time.monotonic() + seconds[lasts]
            self._lasts[owner, key] = lasts

    def renew(self, owner: str, found: Found, seconds: dict[str, float]) -> None:
        """What is read lasts for as long again."""
        if found.read:
            lasts = self._lasts[owner, found.reads]
            self._until[owner, found.reads] = time.monotonic() + seconds[lasts]

    def _is_there(self, owner: str, key: str) -> bool:
        return self._until.get((owner, key), 0.0) > time.monotonic()


def _blocks(params: dict[str, Any]) -> Iterator[Block]:
    digest, characters = hashlib.sha256(), 0
    for kind, block in _parts(params):
        control = block.get("cache_control")
        bare = {name: value for name, value in block.items() if name != "cache_control"}
        text = json.dumps([kind, bare], sort_keys=True)
        digest.update(text.encode())
        characters += len(json.dumps(bare))
        lasts = None if control is None else control.get("ttl", MINUTES)
        yield Block(digest.hexdigest(), count_tokens("." * characters), lasts)


def _parts(params: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Tools, system, messages: in this order, whatever theirs in the request was."""
    for tool in params.get("tools") or []:
        yield "tool", tool
    for block in _content(params.get("system")):
        yield "system", block
    for message in params.get("messages") or []:
        for block in _content(message.get("content")):
            yield message.get("role", ""), block


def _content(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content or [] if isinstance(block, dict)]
