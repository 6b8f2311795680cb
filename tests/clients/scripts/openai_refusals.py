"""OpenAI's own SDK where calls do not succeed: the class of each error, and lost answers.

READER is a key that may read alone, LOSSY the address of a way to Penstock that loses the next answer.
"""

import json
import os
from collections.abc import Callable
from typing import Any

import openai
from openai import OpenAI

MINI, GPT4, O3, GPT5 = "gpt-5-mini", "gpt-4.1", "o3", "gpt-5"
CHAT = "/v1/chat/completions"
HANGING = "Hang on this, please."


def main() -> None:
    client = OpenAI(max_retries=0)
    file = upload(client)
    print(json.dumps({"refusals": refusals(client, file), "lost": lost(client, file)}))


def asked(text: str, model: str = MINI) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def upload(client: OpenAI) -> str:
    line = {"custom_id": "a", "method": "POST", "url": CHAT, "body": asked("One?")}
    return client.files.create(file=("asked.jsonl", json.dumps(line).encode()), purpose="batch").id


def create(client: OpenAI, file: str, **more: Any) -> Any:
    return client.batches.create(input_file_id=file, **{"endpoint": CHAT, "completion_window": "24h", **more})


def refusals(client: OpenAI, file: str) -> dict[str, Any]:
    nobody = OpenAI(api_key="pk_unknown", max_retries=0)
    reader = OpenAI(api_key=os.environ["READER"], max_retries=0)
    away = OpenAI(base_url="http://127.0.0.1:9", max_retries=0)
    chat = client.chat.completions.create
    calls: dict[str, Callable[[], Any]] = {
        "400": lambda: chat(model=MINI, messages=[]),
        "400 of a batch": lambda: create(client, file, endpoint="/v1/nowhere"),
        "400 of metadata": lambda: create(client, file, metadata={"k" * 65: "v"}),
        "400 of a page": lambda: client.batches.list(limit=101),
        "401": nobody.batches.list,
        "401 of a call": lambda: nobody.chat.completions.create(**asked("x")),
        "403": lambda: create(reader, file),
        "403 of a call": lambda: reader.chat.completions.create(**asked("x")),
        "404": lambda: client.batches.retrieve("batch_unknown"),
        "404 of a file": lambda: client.files.content("file-unknown"),
        "404 of a model": lambda: chat(**asked("x", "no-such-model")),
        "413 of ours": lambda: chat(**asked("x" * 40_000_000)),
        "timeout": lambda: client.with_options(timeout=0.5).chat.completions.create(**asked(HANGING)),
        "nobody there": away.batches.list,
        "429": lambda: chat(**asked("Answer with 429", GPT4)),
        "503": lambda: chat(**asked("Answer with 503", O3)),
        "529": lambda: chat(**asked("Answer with 529", GPT5)),
    }
    for status in ("409", "413", "422", "500"):
        calls[status] = lambda text=f"Answer with {status}": chat(**asked(text))
    return {name: refusal(call) for name, call in calls.items()}


def refusal(call: Callable[[], Any]) -> dict[str, Any]:
    """The class of the SDK's error, and what it holds."""
    try:
        call()
    except openai.APIStatusError as error:
        body: Any = error.body
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "body": sorted(body),
            "type": error.type,
            "message": body["message"],
            "request_id": error.request_id,
        }
    except openai.APIError as error:
        return {"class": type(error).__name__, "message": str(error)}
    return {"class": "none"}


def lost(client: OpenAI, file: str) -> dict[str, Any]:
    """An answer to `create` is lost, and the SDK sends it again; then the same is made on purpose."""
    lossy = OpenAI(base_url=f"{os.environ['LOSSY']}/v1")  # with the retries that it has by itself
    before = count(client)
    first = create(lossy, file)
    between = count(client)
    second = create(lossy, file)
    named = {"Idempotency-Key": "mine"}
    return {
        "by_the_lost_one": between - before,
        "by_both": count(client) - before,
        "ids": [first.id, second.id],
        "named": [create(client, file, extra_headers=named).id for _ in range(2)],
    }


def count(client: OpenAI) -> int:
    return sum(1 for _ in client.batches.list(limit=100))


if __name__ == "__main__":
    main()
