"""An answer of an OpenAI-compatible endpoint: read for its text, its end and its usage.

Four kinds come: chat completions, completions, responses, lists of embeddings. An answer is paid for, so
nothing odd about it may lose it: where its counts cannot be read its usage is unknown.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import BadAnswer, Booking, ServerFault
from app.providers import answers, openai_limits, refusals
from app.providers.client import MAX_TOKENS, PAUSE, REFUSAL, Reply, Usage

END, TOOL = "end_turn", "tool_use"
REASONS = {
    "stop": END,
    "length": MAX_TOKENS,
    "tool_calls": TOOL,
    "function_call": TOOL,
    "content_filter": REFUSAL,
    "max_output_tokens": MAX_TOKENS,
    PAUSE: END,  # of a relay: only Messages can go on with an answer
}


def read(body: bytes, headers: Mapping[str, str]) -> Reply:
    """The reply in `body`, which came with a status of success and `headers`.

    Raises `BadAnswer` unless it is of one of the four kinds, and the error that it holds where it is one.
    """
    request_id = refusals.request_id_of(headers)
    body, answer = answers.document(body, request_id)
    if is_answer(answer):
        _raise_failure(answer, request_id)
    elif (error := refusals.error_within(answer)) is not None:
        raise openai_limits.refused(200, error, headers)
    else:
        raise BadAnswer(
            f"the endpoint's answer is none of this API: {answers.excerpt(body)}", request_id=request_id
        )
    text, usage = text_of(answer), usage_of(answer)
    return Reply(
        body=body,
        usage=usage if usage is not None and _can_be(usage, answer, text) else None,
        request_id=request_id,
        text=text,
        limits=openai_limits.rate_limits(headers),
        stop_reason=stop_reason_of(answer),
        stop_details=_refusal_of(answer),
    )


def is_answer(answer: Any) -> bool:
    """Whether it is of one of the four kinds, and neither a Message nor an inference."""
    if not isinstance(answer, Mapping) or answer.get("type") in ("message", "inference"):
        return False
    return any(isinstance(answer.get(name), list) for name in _LISTS)


_LISTS = ("choices", "output", "data")  # one for each kind; completions have the first, too


def text_of(answer: Mapping[str, Any]) -> str:
    """The text of the first choice, or of a response; of embeddings the vectors as JSON."""
    if (choice := _choice(answer)) is not None:
        message = choice.get("message")
        if not isinstance(message, Mapping):
            return _string(choice.get("text"))
        return _content(message.get("content")) or _string(message.get("refusal"))
    if isinstance(answer.get("output"), list):
        return "".join(_string(part.get("text") or part.get("refusal")) for part in _parts(answer))
    vectors = [one.get("embedding") for one in answer.get("data") or () if isinstance(one, Mapping)]
    return json.dumps(vectors[0] if len(vectors) == 1 else vectors, separators=(",", ":"))


def stop_reason_of(answer: Mapping[str, Any]) -> str | None:
    """Why the answer ended, in the words of Messages; None where it does not say."""
    if _refusal_of(answer) is not None:
        return REFUSAL
    if (choice := _choice(answer)) is not None:
        reason = choice.get("finish_reason")
    elif isinstance(answer.get("output"), list):
        reason = _end_of_response(answer)
    else:
        return END if isinstance(answer.get("data"), list) else None
    if not isinstance(reason, str) or not reason:
        return None
    return REASONS.get(reason) or refusals.cleaned(reason)[: answers.LONGEST_REASON]


def usage_of(answer: Mapping[str, Any]) -> Usage | None:
    """What the call took; None unless its counts are there and plausible.

    Tokens read from the cache and written to it are among those of the prompt.
    """
    usage: Any = answer.get("usage")
    tier = answer.get("service_tier")
    try:
        prompt, output = _counts(usage, answer)
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
        cached = min(prompt, answers.count(details, "cached_tokens"))
        written = min(prompt - cached, answers.count(details, "cache_write_tokens"))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return Usage(
        input_tokens=prompt - cached - written,
        output_tokens=output,
        cache_read_tokens=cached,
        cache_write_5m_tokens=written,
        service_tier=tier if isinstance(tier, str) else None,
    )


def calls_of(answer: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The tools that an answer calls: the call's id, the function's name, its arguments as JSON."""
    choice = _choice(answer)
    message = {} if choice is None else choice.get("message") or {}
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield _string(call.get("id")), _string(function.get("name")), _arguments(function)
    for item in answer.get("output") or ():
        if isinstance(item, Mapping) and item.get("type") == "function_call":
            yield _string(item.get("call_id")), _string(item.get("name")), _arguments(item)


def _counts(usage: Any, answer: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens of the prompt and of the answer; embeddings have none of the latter."""
    prompt = "prompt_tokens" if "prompt_tokens" in usage else "input_tokens"
    output = "completion_tokens" if "completion_tokens" in usage else "output_tokens"
    if usage[prompt] is None or (usage.get(output) is None and not isinstance(answer.get("data"), list)):
        raise ValueError("a count is missing")
    return answers.count(usage, prompt), answers.count(usage, output)


def _can_be(usage: Usage, answer: Mapping[str, Any], text: str) -> bool:
    """Whether something was read, and something written where there is a text."""
    is_written = bool(text) and not isinstance(answer.get("data"), list)
    return usage.prompt_tokens > 0 and (usage.output_tokens > 0 or not is_written)


def _raise_failure(answer: Mapping[str, Any], request_id: str | None) -> None:
    """A response may say itself that it failed, or that it is not there yet."""
    status, error = answer.get("status"), answer.get("error")
    if "output" not in answer or status not in ("failed", "cancelled", "queued", "in_progress"):
        return
    said = error.get("message") if isinstance(error, Mapping) else None
    fault = ServerFault(refusals.cleaned(f"the response is {status}: {said}"), request_id=request_id)
    fault.booking = Booking.UNCONFIRMED  # the model has worked on it, or will
    raise fault


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first of an answer's choices; an empty one where it has none that can be read."""
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return None
    return choices[0] if choices and isinstance(choices[0], Mapping) else {}


def _parts(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The parts of a response's messages."""
    for item in answer.get("output") or ():
        if isinstance(item, Mapping) and item.get("type", "message") == "message":
            yield from (part for part in item.get("content") or () if isinstance(part, Mapping))


def _end_of_response(answer: Mapping[str, Any]) -> Any:
    if answer.get("status") == "incomplete":
        details = answer.get("incomplete_details")
        return details.get("reason") if isinstance(details, Mapping) else "incomplete"
    return "tool_calls" if any(True for _ in calls_of(answer)) else "stop"


def _refusal_of(answer: Mapping[str, Any]) -> str | None:
    """The model's words where it refused."""
    choice = _choice(answer)
    message = None if choice is None else choice.get("message")
    said = [message.get("refusal")] if isinstance(message, Mapping) else []
    if isinstance(answer.get("output"), list):
        said = [part.get("refusal") for part in _parts(answer)]
    return next((refusals.cleaned(text) for text in said if isinstance(text, str) and text), None)


def _content(content: Any) -> str:
    """The content of a chat message: text, or parts of it."""
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return content if isinstance(content, str) else "".join(map(_string, texts))


def _arguments(call: Mapping[str, Any]) -> str:
    """A call's arguments as JSON; some servers write them as an object instead."""
    arguments = call.get("arguments")
    return json.dumps(arguments) if isinstance(arguments, Mapping) else _string(arguments)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
