"""What all requests of a job begin with: its tools, its system prompt, the constant head of its template."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.ingest.beginnings.common import SETS_ITS_OWN, SharedInput
from app.ingest.operations import Operation
from app.ingest.values import byte_size, to_json
from app.providers import registry
from config import price_list

# Bytes of plain English prose for one token. Anything else has more tokens than estimated by this: what is
# taken to be long enough for a cache is.
BYTES_PER_TOKEN = 4.0
LEAST_HEAD = 1_000  # bytes; a shorter beginning of the prompts is not worth a block of its own

_TAG = re.compile(r"\{[{%#]")
_NEWLINES = re.compile(r"\r\n|\r")


class Parts(Protocol):
    """What a job says of all its requests."""

    @property
    def model(self) -> str: ...
    @property
    def system(self) -> str | None: ...
    @property
    def template(self) -> str | None: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def operations(self) -> Mapping[str, Operation]: ...
    @property
    def shared_input(self) -> SharedInput | None: ...


@dataclass(frozen=True, slots=True)
class Shared:
    """The part that a provider may keep; `before` are the bytes of tools and system, which come first."""

    before: int
    head: str = ""  # of each prompt that is made of a row; empty: these begin with what is their own
    input: SharedInput | None = None  # of messages that the records bring themselves

    @property
    def size(self) -> int:
        return self.before + byte_size(self.head) + (0 if self.input is None else self.input.size)


def kept(parts: Parts, *, wanted: bool) -> Shared | None:
    """What the records of a job share, if it is enough for its provider to keep it."""
    least = least_cacheable(parts, wanted=wanted)
    if least is None:
        return None
    found = of(parts)
    return found if tokens(found.size) >= least else None


def least_cacheable(parts: Parts, *, wanted: bool) -> int | None:
    """Tokens that the beginning of a request has at least if it is kept; None: requests stay as they are.

    So they do where nobody `wanted` it, where the job says itself what is to be kept, and where its records
    differ from the start.
    """
    is_left = not wanted or parts.operations or SETS_ITS_OWN in to_json(parts.params)
    provider = registry.find(parts.model)
    if is_left or provider is None or not provider.keeps_what_is_marked:
        return None
    return price_list.least_cacheable(provider.served_name(parts.model))


def of(parts: Parts) -> Shared:
    """What the records of such a job share, whether or not that is enough to be kept."""
    tools = parts.params.get("tools")
    before = byte_size(parts.system or "") + (len(to_json(tools)) if tools else 0)
    return Shared(before, "" if parts.template is None else head_of(parts.template), parts.shared_input)


def head_of(template: str) -> str:
    """What precedes a template's first tag, as it is rendered; empty where that is not worth a block.

    Prompts are compared with it before they are parted, so that it need not follow Jinja in every case.
    """
    tag = _TAG.search(template)
    if tag is None:
        return ""  # nothing would be left for the rest
    head = _NEWLINES.sub("\n", template[: tag.start()])
    if template[tag.end() : tag.end() + 1] == "-":
        head = head.rstrip()
    return head if head.strip() and byte_size(head) >= LEAST_HEAD else ""


def tokens(size: float) -> float:
    """At least how many tokens so many bytes make."""
    return size / BYTES_PER_TOKEN
