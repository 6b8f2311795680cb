"""LiteLLM: files and batches of OpenAI's API, and completions over both APIs."""

import asyncio
import io
import json
import os
from typing import Any

import litellm

ENDED = ("completed", "failed", "expired", "cancelled")
KEYS: dict[str, Any] = {
    "custom_llm_provider": "openai",
    "api_base": os.environ["OPENAI_BASE_URL"],
    "api_key": os.environ["OPENAI_API_KEY"],
}


def line(custom_id: str, text: str) -> dict[str, Any]:
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": text}]}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


async def upload(*lines: Any) -> Any:
    content = io.BytesIO("".join(json.dumps(one) + "\n" for one in lines).encode())
    content.name = "asked.jsonl"
    return await litellm.acreate_file(file=content, purpose="batch", **KEYS)


async def create(file: Any) -> Any:
    return await litellm.acreate_batch(
        completion_window="24h",
        endpoint="/v1/chat/completions",
        input_file_id=file.id,
        metadata={"team": "x"},
        **KEYS,
    )


async def wait(name: str) -> Any:
    while (batch := await litellm.aretrieve_batch(batch_id=name, **KEYS)).status not in ENDED:
        await asyncio.sleep(0.2)
    return batch


async def read(file_id: str) -> dict[str, Any]:
    content = await litellm.afile_content(file_id=file_id, **KEYS)
    return {line["custom_id"]: line for line in map(json.loads, content.text.splitlines())}


async def main() -> None:
    file = await upload(line("a", "One?"), line("b", "Refuse this, please."), line("c", "Three?"))
    made = await create(file)
    ended = await wait(made.id)
    hanging = await create(await upload(line("x", "Hang on this, please.")))
    await litellm.acancel_batch(batch_id=hanging.id, **KEYS)
    listed = await litellm.alist_batches(limit=5, **KEYS)
    found = await litellm.afile_retrieve(file_id=file.id, **KEYS)
    deleted = await litellm.afile_delete(file_id=file.id, **KEYS)
    asked: Any = [{"role": "user", "content": "Why is the sky blue?"}]
    told = {}
    for model in ("openai/gpt-5-mini", "anthropic/claude-haiku-4-5"):
        answer = await litellm.acompletion(model=model, messages=asked, max_tokens=64)
        told[model] = answer.choices[0].message.content
    vectors = await litellm.aembedding(model="openai/text-embedding-3-small", input=["One?", "Two?"])
    seen = {
        "made": made.model_dump(mode="json"),
        "ended": ended.model_dump(mode="json"),
        "output": await read(ended.output_file_id),
        "errors": await read(ended.error_file_id),
        "cancelled": (await wait(hanging.id)).status,
        "listed": [batch.id for batch in listed.data],
        "file": [found.id, found.bytes],
        "deleted": deleted.deleted,
        "told": told,
        "vectors": len(vectors.data),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main())
