"""Anthropic's own SDK where calls do not succeed: the class of each error, and a lost answer.

READER is a key that may read alone, LOSSY the address of a way to Penstock that loses the next answer.
"""

import json
import os
from collections.abc import Callable
from typing import Any

import anthropic
from anthropic import Anthropic

HAIKU, SONNET, OPUS, FABLE = "claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-6", "claude-fable-5"
HANGING = "Hang on this, please."


def main() -> None:
    client = Anthropic(max_retries=0)
    seen = {"refusals": refusals(client), "lost": lost(client), "found": found_again(client)}
    print(json.dumps(seen))


def asked(text: str, model: str = HAIKU) -> dict[str, Any]:
    return {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}]}


def requests(text: str, name: str = "a") -> list[Any]:
    return [{"custom_id": name, "params": asked(text)}]


def refusals(client: Anthropic) -> dict[str, Any]:
    nobody = Anthropic(api_key="pk_unknown", max_retries=0)
    reader = Anthropic(api_key=os.environ["READER"], max_retries=0)
    away = Anthropic(base_url="http://127.0.0.1:9", max_retries=0)
    batches, ask = client.messages.batches, client.messages.create
    calls: dict[str, Callable[[], Any]] = {
        "400": lambda: ask(**{**asked("x"), "messages": []}),
        "400 of a batch": lambda: batches.create(requests=requests("x", "not a name")),
        "401": nobody.messages.batches.list,
        "401 of a call": lambda: nobody.messages.create(**asked("x")),
        "403": lambda: reader.messages.batches.create(requests=requests("x")),
        "403 of a call": lambda: reader.messages.create(**asked("x")),
        "404": lambda: batches.retrieve("msgbatch_unknown"),
        "404 of a model": lambda: ask(**asked("x", "no-such-model")),
        "413 of ours": lambda: ask(**asked("x" * 40_000_000)),
        "timeout": lambda: client.with_options(timeout=0.5).messages.create(**asked(HANGING)),
        "nobody there": away.messages.batches.list,
        "429": lambda: ask(**asked("Answer with 429", SONNET)),
        "503": lambda: ask(**asked("Answer with 503", FABLE)),
        "529": lambda: ask(**asked("Answer with 529", OPUS)),
    }
    for status in ("408", "409", "412", "413", "422", "431", "499", "500", "501", "504"):
        calls[status] = lambda text=f"Answer with {status}": ask(**asked(text))
    return {name: refusal(call) for name, call in calls.items()}


def refusal(call: Callable[[], Any]) -> dict[str, Any]:
    """The class of the SDK's error, and what it holds."""
    try:
        call()
    except anthropic.APIStatusError as error:
        body: Any = error.body
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "type": body["error"]["type"],
            "message": body["error"]["message"],
            "request_id": error.request_id,
        }
    except anthropic.APIError as error:
        return {"class": type(error).__name__, "message": str(error)}
    return {"class": "none"}


def lost(client: Anthropic) -> dict[str, Any]:
    """An answer to `create` is lost, and the SDK sends it again; then the same is made on purpose."""
    lossy = Anthropic(base_url=os.environ["LOSSY"])  # with the retries that it has by itself
    before = count(client)
    first = lossy.messages.batches.create(requests=requests("Lost?"))
    between = count(client)
    second = lossy.messages.batches.create(requests=requests("Lost?"))
    return {
        "by_the_lost_one": between - before,
        "by_both": count(client) - before,
        "ids": [first.id, second.id],
    }


def found_again(client: Anthropic) -> list[str]:
    """A call that its caller has named is one, however often it is sent."""
    named = {"Idempotency-Key": "mine"}
    return [
        client.messages.batches.create(requests=requests("Named?"), extra_headers=named).id for _ in range(2)
    ]


def count(client: Anthropic) -> int:
    return sum(1 for _ in client.messages.batches.list(limit=100))


if __name__ == "__main__":
    main()
