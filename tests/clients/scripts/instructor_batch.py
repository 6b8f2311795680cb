"""instructor's batches, for both providers: structured answers to a list of conversations."""

import json
import time
from typing import Any

from anthropic import Anthropic
from instructor.batch import BatchProcessor
from pydantic import BaseModel

MODELS = {"openai": "openai/gpt-5-mini", "anthropic": "anthropic/claude-haiku-4-5"}
ENDED = ("completed", "ended", "failed", "cancelled", "expired")


class Review(BaseModel):
    sentiment: str
    stars: int


def main() -> None:
    print(json.dumps({name: batch(model) for name, model in MODELS.items()}))


def batch(model: str) -> dict[str, Any]:
    processor = BatchProcessor(model, Review)
    talks = [[{"role": "user", "content": f"Review number {number}: lovely."}] for number in range(3)]
    made = processor.submit_batch(processor.create_batch_from_messages(talks, max_tokens=200))
    while (status := processor.get_batch_status(made))["status"] not in ENDED:
        time.sleep(0.2)
    # For Anthropic `get_results` closes its client before it has read the answer.
    results = processor.get_results(made) if "openai" in model else processor.parse_results(lines(made))
    listed = processor.list_batches(limit=5)
    return {
        "id": made,
        "status": status["status"],
        "counts": json.loads(json.dumps(status["request_counts"], default=vars)),
        "results": {one.custom_id: one.model_dump() for one in results},
        "listed": {job.id: job.status for job in listed},
    }


def lines(name: str) -> str:
    with Anthropic() as client:
        return "\n".join(one.to_json(indent=None) for one in client.messages.batches.results(name))


if __name__ == "__main__":
    main()
