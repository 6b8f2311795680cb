"""Anthropic's own SDK: every call of Message Batches, and the calls beside them.

It is the same script for the oldest and the newest release; nothing here knows that Penstock answers.
"""

import json
import time
from typing import Any

from anthropic import Anthropic
from anthropic_refusals import refusal

MODEL = "claude-haiku-4-5"
REFUSED, HANGING = "Refuse this, please.", "Hang on this, please."


def main() -> None:
    client = Anthropic(max_retries=0)
    first, ended = made_and_read(client)
    seen = {
        "made": checked(first),
        "ended": checked(ended),
        "results": {one.custom_id: checked(one) for one in client.messages.batches.results(ended.id)},
        "cancelled": cancelled(client),
        "pages": pages(client),
        "deleted": checked(client.messages.batches.delete(ended.id)),
        "beta": beta(client),
        "calls": calls(client),
        "models": models(client),
    }
    print(json.dumps(seen))


def checked(found: Any) -> dict[str, Any]:
    """As JSON; every field that its type requires must be there with a value of that type."""
    sent = found.to_json()
    type(found).model_validate_json(sent, strict=True)
    return {**json.loads(sent), "unset": sorted(set(type(found).model_fields) - found.model_fields_set)}


def request(custom_id: str, text: str) -> dict[str, Any]:
    message = {"role": "user", "content": text}
    return {"custom_id": custom_id, "params": {"model": MODEL, "max_tokens": 64, "messages": [message]}}


def made_and_read(client: Anthropic) -> tuple[Any, Any]:
    texts = {"a": "One?", "b": REFUSED, "c": "Three?"}
    made = client.messages.batches.create(requests=[request(*pair) for pair in texts.items()])
    return made, wait(client, made.id)


def wait(client: Anthropic, name: str) -> Any:
    while True:
        found = client.messages.batches.retrieve(name)
        if found.processing_status == "ended":
            return found
        time.sleep(0.1)


def cancelled(client: Anthropic) -> dict[str, Any]:
    """Cancel in mid-run, after reading what has been answered until then."""
    made = client.messages.batches.create(requests=[request("x", "Quick?"), request("y", HANGING)])
    while client.messages.batches.retrieve(made.id).request_counts.succeeded == 0:
        time.sleep(0.1)
    while_running = [checked(one) for one in client.messages.batches.results(made.id)]
    undeletable = refusal(lambda: client.messages.batches.delete(made.id))
    answer = checked(client.messages.batches.cancel(made.id))
    ended = checked(wait(client, made.id))
    results = {one.custom_id: checked(one) for one in client.messages.batches.results(made.id)}
    return {
        "while_running": while_running,
        "undeletable": undeletable,
        "answer": answer,
        "ended": ended,
        "results": results,
    }


def pages(client: Anthropic) -> dict[str, Any]:
    """Onwards and backwards, by pages of two."""
    made = [client.messages.batches.create(requests=[request("a", f"Page {n}?")]).id for n in range(5)]
    page = client.messages.batches.list(limit=2)
    return {
        "made": made,
        "first": [checked(batch)["id"] for batch in page.data],
        "has_more": page.has_more,
        "first_id": page.first_id,
        "last_id": page.last_id,
        "onwards": [batch.id for batch in client.messages.batches.list(limit=2)],
        "backwards": [batch.id for batch in client.messages.batches.list(limit=2, before_id=made[0])],
        "after": [batch.id for batch in client.messages.batches.list(limit=2, after_id=made[2]).data],
    }


def beta(client: Anthropic) -> dict[str, Any]:
    batches = client.beta.messages.batches
    made = batches.create(requests=[request("b", "Beta?")], betas=["output-300k-2026-03-24"])
    while batches.retrieve(made.id).processing_status != "ended":
        time.sleep(0.1)
    results = [checked(one) for one in batches.results(made.id)]
    listed = [batch.id for batch in batches.list(limit=1).data]
    return {
        "made": checked(made),
        "results": results,
        "listed": listed,
        "deleted": batches.delete(made.id).id,
    }


def calls(client: Anthropic) -> dict[str, Any]:
    """One message whole, one as a stream, and a count of tokens."""
    asked: dict[str, Any] = {
        "model": MODEL,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    }
    message = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    counted = client.messages.count_tokens(model=MODEL, messages=asked["messages"])
    return {
        "message": checked(message),
        "request_id": message._request_id,
        "streamed": text,
        "final": checked(final),
        "counted": counted.input_tokens,
    }


def models(client: Anthropic) -> dict[str, Any]:
    listed = [checked(model)["id"] for model in client.models.list(limit=5)]
    return {"listed": listed, "one": checked(client.models.retrieve(MODEL))}


if __name__ == "__main__":
    main()
