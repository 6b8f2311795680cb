"""Where a request says what its provider shall keep, so that later ones read it: at its breakpoints.

The order of a request is its provider's: tools, system, messages. What all records share comes first in it,
and a prompt whose head is the same in all of them becomes two blocks of the same text. A provider takes four
breakpoints; here are never more: at the end of the system prompt, at the end of the head, at the end of what
the turn before this one has had kept, and at the end of a turn that another one follows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.requests import shared_part
from app.core.requests.job_context import JobContext
from app.core.requests.shared_part import Shared
from app.ingest.beginnings.common import SETS_ITS_OWN, SharedInput
from app.ingest.values import to_json

FIVE_MINUTES, HOUR = "5m", "1h"
LIFETIMES = {FIVE_MINUTES: 300.0, HOUR: 3_600.0}  # seconds from the last request that began with it
CONTROL = "cache_control"
Control = Mapping[str, str]
# What a record may set besides its messages and still begin as the others do.
_BEHIND = frozenset(
    {"messages", "max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "simulate"}
)
_MARKABLE = frozenset({"text", "image", "document", "tool_result"})


@dataclass(frozen=True, slots=True)
class Keep:
    """What of a record's request is to be kept."""

    shared: str | None = None  # for how long: what all records of the job share; None: nothing of it
    turn: bool = False  # the whole of it: another turn of the conversation follows, which begins with it


def sets_its_own(*bodies: bytes) -> bool:
    """Whether one of these texts in JSON says itself what is to be kept."""
    return any(SETS_ITS_OWN in body for body in bodies)


def marked(
    request: Mapping[str, Any],
    job: JobContext,
    record: Mapping[str, Any],
    own: int,
    keep: Keep,
) -> dict[str, Any]:
    """The request with its breakpoints. The last `own` of its messages are the record's.

    It is unchanged where nothing of the job's requests is kept, and where its model is not the job's.
    """
    laid_out = dict(request)
    if job.least_cacheable is None or request["model"] != job.model:
        return laid_out
    if keep.shared is not None and job.shared is not None and _begins_as_others(record):
        _mark_shared(laid_out, job.shared, job.least_cacheable, _control(keep.shared))
    _mark_turns(laid_out, own, job.least_cacheable, keep.turn)
    return laid_out


def unmarked(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request without breakpoints: as it is sent to another model, of which few others ask the same."""
    bare = {name: _without_marks(part) for name, part in request.items()}
    bare["messages"] = [
        message | {"content": _without_marks(message["content"])} for message in request["messages"]
    ]
    return bare


def _without_marks(blocks: Any) -> Any:
    if not isinstance(blocks, list):
        return blocks
    return [
        {name: part for name, part in block.items() if name != CONTROL} if isinstance(block, dict) else block
        for block in blocks
    ]


def _begins_as_others(record: Mapping[str, Any]) -> bool:
    return _BEHIND.issuperset(record.get("params", ()))


def _control(lasts: str) -> Control:
    return {"type": "ephemeral"} if lasts == FIVE_MINUTES else {"type": "ephemeral", "ttl": lasts}


def _mark_shared(request: dict[str, Any], part: Shared, least: int, control: Control) -> None:
    if part.input is not None:
        request["messages"] = _with_input_marked(request["messages"], part.input, control)
    else:
        request["messages"] = _with_head_marked(request["messages"], part.head, control)
    if shared_part.tokens(part.before) < least:
        return
    if (system := request.get("system")) is not None:
        request["system"] = [{"type": "text", "text": system, CONTROL: control}]
    elif tools := request.get("tools"):
        request["tools"] = [*tools[:-1], tools[-1] | {CONTROL: control}]


def _with_head_marked(messages: Sequence[Any], head: str, control: Control) -> list[Any]:
    """Each prompt that begins with the head in two blocks, the first of them marked at its head."""
    parted = [_parted(message, len(head)) if _begins_with(message, head) else message for message in messages]
    if parted[0] is not messages[0]:
        parted[0] = _with_first_marked(parted[0], control)
    return parted


def _with_input_marked(messages: Sequence[Any], part: SharedInput, control: Control) -> list[Any]:
    """The messages marked where the part ends that they have in common with those of all other records."""
    marked = list(messages)
    message = marked[part.message]
    if part.characters is not None:
        parted = _parted(message, part.characters)
        marked[part.message] = message if parted is message else _with_first_marked(parted, control)
    else:
        marked[part.message] = _kept(message, control, part.block)
    return marked


def _begins_with(message: Any, head: str) -> bool:
    is_text = isinstance(message, dict) and isinstance(message.get("content"), str)
    return bool(head) and is_text and message["role"] == "user" and message["content"].startswith(head)


def _parted(message: Any, characters: int) -> Any:
    """A text as two blocks, unless one of them is without a word, which a provider refuses."""
    text = message["content"]
    parts = text[:characters], text[characters:]
    if not all(map(str.strip, parts)):
        return message
    return message | {"content": [{"type": "text", "text": part} for part in parts]}


def _with_first_marked(message: Any, control: Control) -> Any:
    first, *rest = message["content"]
    return message | {"content": [first | {CONTROL: control}, *rest]}


def _mark_turns(request: dict[str, Any], own: int, least: int, is_followed: bool) -> None:
    """Mark what the turn before this one has had kept, and all of this one if another one `is_followed`.

    The last turn of a conversation only reads: nobody would read what it had kept.
    """
    messages: list[Any] = list(request["messages"])
    earlier = len(messages) - own
    ends = [earlier - 2] if earlier >= 2 else []  # behind it comes its answer, never sent before
    if is_followed:
        ends.append(len(messages) - 1)
    for end in ends:
        before = [request.get("tools"), request.get("system"), messages[: end + 1]]
        if shared_part.tokens(len(to_json(before))) >= least:
            messages[end] = _kept(messages[end], _control(FIVE_MINUTES))
    request["messages"] = messages


def _kept(message: Any, control: Control, block: int | None = None) -> Any:
    """The message marked at a block of its content, or at its end."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str) and content.strip():
        content = [{"type": "text", "text": content}]
    last = block if block is not None else len(content or ()) - 1
    if not isinstance(content, list) or not content or not _is_markable(content[last]):
        return message
    return message | {"content": [*content[:last], content[last] | {CONTROL: control}, *content[last + 1 :]]}


def _is_markable(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in _MARKABLE and block.get("text") != ""
