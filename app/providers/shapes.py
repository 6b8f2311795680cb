"""One answer in the shape of another API: what each door shows of a job that came through the other.

Pure: an answer that is already in the shape asked for is returned as it is.
"""

import json
from collections.abc import Mapping
from typing import Any

from app.providers import answers, openai_answers
from app.providers.client import MAX_TOKENS, REFUSAL, WINDOW_FULL, Usage

FINISHES = {
    MAX_TOKENS: "length",
    WINDOW_FULL: "length",
    openai_answers.TOOL: "tool_calls",
    REFUSAL: "content_filter",
}


def message_of(body: bytes) -> dict[str, Any]:
    """An answer as a Message; raises `ValueError` for what is no JSON object."""
    answer = _object(body)
    if answer.get("type") == "inference":
        return _of_inference(answer)
    if not openai_answers.is_answer(answer):
        return answer
    usage = openai_answers.usage_of(answer)
    text = openai_answers.text_of(answer)
    calls = [
        {"type": "tool_use", "id": id, "name": name, "input": _arguments(arguments)}
        for id, name, arguments in openai_answers.calls_of(answer)
    ]
    return {
        "id": f"msg_{answer.get('id') or 'unnamed'}",
        "type": "message",
        "role": "assistant",
        "model": str(answer.get("model") or ""),
        "content": [*([{"type": "text", "text": text}] if text else []), *calls],
        "stop_reason": openai_answers.stop_reason_of(answer),
        "stop_sequence": None,
        "usage": _usage_of_message(usage or Usage()),
    }


def chat_completion_of(body: bytes) -> dict[str, Any]:
    """An answer as a chat completion; raises `ValueError` for what is no JSON object.

    A Message does not say when it was made: `created` is 0 there.
    """
    answer = _object(body)
    choices = answer.get("choices")
    if isinstance(choices, list) and answer.get("object") != "text_completion":
        return answer
    message = message_of(body)
    usage = openai_answers.usage_of(answer) if openai_answers.is_answer(answer) else answers.usage_of(message)
    created = answer.get("created", answer.get("created_at"))
    return {
        "id": str(message.get("id") or "unnamed").replace("msg_", "chatcmpl-", 1),
        "object": "chat.completion",
        "created": int(created) if isinstance(created, int | float) else 0,
        "model": str(message.get("model") or ""),
        "choices": [
            {"index": 0, "message": _said(message), "finish_reason": finish_of(message), "logprobs": None}
        ],
        "usage": usage_of_chat(usage),
    }


def finish_of(message: Mapping[str, Any]) -> str:
    """Why a Message ended, as a chat completion says it."""
    reason = answers.stop_reason_of(message)
    return "stop" if reason is None else FINISHES.get(reason, "stop")


def usage_of_chat(known: Usage | None) -> dict[str, Any]:
    """Usage as a chat completion tells it: zeros where it is not known."""
    usage = known or Usage()
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
    }


def _object(body: bytes) -> dict[str, Any]:
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("the answer is not a JSON object")  # noqa: TRY004 - of its text
    return answer


def _of_inference(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What an inference server answers, as the text of a message."""
    return {
        "id": "msg_inference",
        "type": "message",
        "role": "assistant",
        "model": str(answer.get("model") or ""),
        "content": [{"type": "text", "text": json.dumps(answer.get("output"), separators=(",", ":"))}],
        "stop_reason": openai_answers.END,
        "stop_sequence": None,
        "usage": _usage_of_message(Usage()),
    }


def _arguments(arguments: str) -> Any:
    """A model may write arguments that are no JSON."""
    try:
        return json.loads(arguments) if arguments else {}
    except ValueError:
        return {"arguments": arguments}


def _said(message: Mapping[str, Any]) -> dict[str, Any]:
    calls = [
        {
            "id": block.get("id"),
            "type": "function",
            "function": {"name": block.get("name"), "arguments": json.dumps(block.get("input"))},
        }
        for block in answers.content_of(message)
        if isinstance(block, dict) and block.get("type") == "tool_use"
    ]
    text = answers.text_of(message)
    said = {"role": "assistant", "content": text or (None if calls else ""), "refusal": None}
    return said | ({"tool_calls": calls} if calls else {})


def _usage_of_message(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
    }
