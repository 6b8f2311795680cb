"""OpenAI's own SDK: every call of Files and Batches, webhooks, and the calls beside them."""

import json
import time
from typing import Any

from openai import OpenAI

GPT, CLAUDE = "gpt-5-mini", "claude-haiku-4-5"
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
REFUSED, HANGING = "Refuse this, please.", "Hang on this, please."
ENDED = ("completed", "failed", "expired", "cancelled")
# What one request asks at each endpoint.
ASKS: dict[str, dict[str, Any]] = {
    CHAT: {"model": GPT, "messages": [{"role": "user", "content": "One?"}]},
    "/v1/responses": {"model": GPT, "input": "One?"},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": ["One?", "Two?"]},
    "/v1/completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "One?"},
}


def main() -> None:
    client = OpenAI(max_retries=0)
    seen = {
        "batch": whole(client),
        "endpoints": {endpoint: one_of(client, endpoint) for endpoint in ASKS},
        "claude": claude(client),
        "cancelled": cancelled(client),
        "invalid": invalid(client),
        "inline": inline(client),
        "pages": pages(client),
        "files": files(client),
        "calls": calls(client),
        "models": models(client),
        "webhooks": webhooks(client),
    }
    print(json.dumps(seen))


def checked(found: Any) -> dict[str, Any]:
    """As JSON; every field that its type requires must be there with a value of that type."""
    sent = found.to_json()
    type(found).model_validate_json(sent, strict=True)
    return {**json.loads(sent), "unset": sorted(set(type(found).model_fields) - found.model_fields_set)}


def line(custom_id: str, text: str = "One?", url: str = CHAT, **body: Any) -> dict[str, Any]:
    asked = body or {"model": GPT, "messages": [{"role": "user", "content": text}]}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": asked}


def upload(client: OpenAI, *lines: Any, **more: Any) -> Any:
    content = "".join(json.dumps(one) + "\n" for one in lines).encode()
    return client.files.create(file=("asked.jsonl", content), purpose="batch", **more)


def create(client: OpenAI, *lines: Any, endpoint: Any = CHAT, **more: Any) -> Any:
    file = upload(client, *lines)
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)


def wait(client: OpenAI, batch: Any) -> Any:
    while True:
        found = client.batches.retrieve(batch.id)
        if found.status in ENDED:
            return found
        time.sleep(0.1)


def read(client: OpenAI, file_id: str | None) -> list[dict[str, Any]] | None:
    if file_id is None:
        return None
    return [json.loads(found) for found in client.files.content(file_id).text.splitlines()]


def whole(client: OpenAI) -> dict[str, Any]:
    """A batch with one line that the provider refuses, and what it ends with."""
    lines = [line("a", "One?"), line("b", REFUSED), line("c", "Three?")]
    made = create(
        client,
        *lines,
        metadata={"team": "x"},
        output_expires_after={"anchor": "created_at", "seconds": 3_600},
    )
    ended = wait(client, made)
    output = client.files.retrieve(ended.output_file_id)
    with client.files.with_streaming_response.content(ended.output_file_id) as response:
        streamed = b"".join(response.iter_bytes())
    return {
        "made": checked(made),
        "ended": checked(ended),
        "output": read(client, ended.output_file_id),
        "errors": read(client, ended.error_file_id),
        "output_file": checked(output),
        "streamed": len(streamed),
    }


def one_of(client: OpenAI, endpoint: str) -> dict[str, Any]:
    ended = wait(client, create(client, line("a", url=endpoint, **ASKS[endpoint]), endpoint=endpoint))
    return {"ended": checked(ended), "output": read(client, ended.output_file_id)}


def claude(client: OpenAI) -> dict[str, Any]:
    """Lines for Claude: with its own bodies, and as chat completions."""
    asked = {"model": CLAUDE, "max_tokens": 64, "messages": [{"role": "user", "content": "One?"}]}
    of_messages = wait(client, create(client, line("m", url=MESSAGES, **asked), endpoint=MESSAGES))
    of_chat = wait(client, create(client, line("c", **asked)))
    return {
        "messages": read(client, of_messages.output_file_id),
        "chat": read(client, of_chat.output_file_id),
    }


def cancelled(client: OpenAI) -> dict[str, Any]:
    """Cancel in mid-run, after reading what has been answered until then."""
    made = create(client, line("x", "Quick?"), line("y", HANGING))
    while client.batches.retrieve(made.id).output_file_id is None:
        time.sleep(0.1)
    running = client.batches.retrieve(made.id)
    while_running = read(client, running.output_file_id)
    answer = client.batches.cancel(made.id)
    ended = wait(client, made)
    return {
        "running": checked(running),
        "while_running": while_running,
        "answer": checked(answer),
        "ended": checked(ended),
        "output": read(client, ended.output_file_id),
        "errors": read(client, ended.error_file_id),
    }


def invalid(client: OpenAI) -> dict[str, Any]:
    """A file whose lines cannot be asked."""
    return checked(wait(client, create(client, line("a"), line("a"), [1], line("d", url="/v1/nowhere"))))


def inline(client: OpenAI) -> dict[str, Any]:
    made: Any = client.batches.create(
        input_file_id=None,  # type: ignore[arg-type]
        endpoint=CHAT,
        completion_window="24h",
        extra_body={"requests": [line("a"), line("b", "Two?")]},
    )
    ended = wait(client, made)
    return {"ended": checked(ended), "input": read(client, ended.input_file_id)}


def pages(client: OpenAI) -> dict[str, Any]:
    made = [create(client, line("a", f"Page {number}?")).id for number in range(5)]
    page = client.batches.list(limit=2)
    return {
        "made": made,
        "first": [checked(batch)["id"] for batch in page.data],
        "has_more": page.has_more,
        "onwards": [batch.id for batch in client.batches.list(limit=2)],
        "after": [batch.id for batch in client.batches.list(limit=2, after=made[2]).data],
    }


def files(client: OpenAI) -> dict[str, Any]:
    made = [
        upload(client, line(str(number)), expires_after={"anchor": "created_at", "seconds": 3_600})
        for number in range(3)
    ]
    found = [client.files.retrieve(file.id) for file in made]
    newest = [file.id for file in client.files.list(limit=2, purpose="batch")]
    outputs = [checked(file) for file in client.files.list(limit=2, purpose="batch_output")]
    oldest = [file.id for file in client.files.list(limit=2, order="asc", purpose="batch")]
    deleted = client.files.delete(made[0].id)
    return {
        "made": [checked(file) for file in made],
        "found": [checked(file) for file in found],
        "processed": client.files.wait_for_processing(made[1].id).status,
        "newest": newest,
        "oldest": oldest,
        "deleted": checked(deleted),
        "outputs": outputs,
        "left": [file.id for file in client.files.list(purpose="batch")],
    }


def calls(client: OpenAI) -> dict[str, Any]:
    """Single calls: a chat whole and as a stream, a response, and embeddings."""
    messages: Any = [{"role": "user", "content": "Why is the sky blue?"}]
    seen: dict[str, Any] = {}
    for model in (GPT, CLAUDE):
        chat = client.chat.completions.create(model=model, messages=messages)
        chunks = list(client.chat.completions.create(model=model, messages=messages, stream=True))
        for chunk in chunks:
            checked(chunk)
        told = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        seen[model] = {"chat": checked(chat), "request_id": chat._request_id, "streamed": "".join(told)}
    response = client.responses.create(model=GPT, input="Why is the sky blue?")
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["One?", "Two?"])
    return {**seen, "response": response.output_text, "vectors": [len(one.embedding) for one in vectors.data]}


def models(client: OpenAI) -> dict[str, Any]:
    listed = [checked(model)["id"] for model in client.models.list()]
    return {"listed": listed, "one": checked(client.models.retrieve(GPT))}


def webhooks(client: OpenAI) -> dict[str, Any]:
    """Endpoints are managed; what is sent to them, and its signature, is another test's subject."""
    hooks: Any = client.webhooks
    made = hooks.create(name="mine", url="https://example.com/hook", event_types=["batch.completed"])
    changed = hooks.update(made.id, event_types=["batch.failed"], name="ours")
    rotated = hooks.rotate_secret(made.id)
    return {
        "made": checked(made),
        "found": checked(hooks.retrieve(made.id)),
        "changed": checked(changed),
        "rotated": checked(rotated),
        "listed": [one.id for one in hooks.list()],
        "types": hooks.event_types.list().data,
        "deleted": checked(hooks.delete(made.id)),
    }


if __name__ == "__main__":
    main()
