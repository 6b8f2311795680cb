"""any-llm: one call for batches of both providers, made of the same file."""

import json
import time
from pathlib import Path
from typing import Any

from any_llm import api as any_llm

MODELS = {"openai": "gpt-5-mini", "anthropic": "claude-haiku-4-5"}
CHAT = "/v1/chat/completions"


def main() -> None:
    print(json.dumps({provider: batch(provider, model) for provider, model in MODELS.items()}))


def file(model: str, *texts: str) -> str:
    path = Path("asked.jsonl")
    lines = [
        {
            "custom_id": f"n-{number}",
            "method": "POST",
            "url": CHAT,
            "body": {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}]},
        }
        for number, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def batch(provider: str, model: str) -> dict[str, Any]:
    made = any_llm.create_batch(provider, file(model, "One?", "Refuse this, please.", "Three?"), CHAT)
    while (ended := any_llm.retrieve_batch(provider, made.id)).status != "completed":
        time.sleep(0.2)
    results = any_llm.retrieve_batch_results(provider, made.id).results
    hanging = any_llm.create_batch(provider, file(model, "Hang on this, please."), CHAT)
    answer = any_llm.cancel_batch(provider, hanging.id)
    listed = any_llm.list_batches(provider, limit=5)
    told = any_llm.completion(model, [{"role": "user", "content": "Why?"}], provider=provider, max_tokens=64)
    return {
        "made": made.id,
        "counts": ended.request_counts.model_dump(),
        "told": {one.custom_id: one.result.choices[0].message.content for one in results if one.result},
        "errors": {one.custom_id: one.error.code for one in results if one.error},
        "cancelled": answer.status,
        "listed": [one.id for one in listed],
        "single": told.choices[0].message.content,
    }


if __name__ == "__main__":
    main()
