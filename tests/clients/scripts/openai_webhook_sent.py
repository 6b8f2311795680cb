"""OpenAI's own SDK registers RECEIVER, tries it out, and lets a batch end: two events are sent there."""

import json
import os
from typing import Any

from openai import OpenAI

CHAT = "/v1/chat/completions"


def main() -> None:
    client = OpenAI(max_retries=0)
    hooks: Any = client.webhooks
    made = hooks.create(name="mine", url=os.environ["RECEIVER"], event_types=["batch.completed"])
    hooks.test(made.id, event_type="batch.completed")
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "One?"}]}
    line = json.dumps({"custom_id": "a", "method": "POST", "url": CHAT, "body": body})
    file = client.files.create(file=("asked.jsonl", line.encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    print(json.dumps({"secret": made.signing_secret, "batch": batch.id}))


if __name__ == "__main__":
    main()
