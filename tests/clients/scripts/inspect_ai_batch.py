"""inspect-ai's batch mode, for both providers: an evaluation whose questions leave in batches."""

import json
import tempfile
from typing import Any

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import BatchConfig
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

MODELS = ("openai/gpt-5-mini", "anthropic/claude-haiku-4-5")


def evaluate(model: str, logs: str) -> dict[str, Any]:
    samples = [Sample(input=f"Question {number}?", target=f"Question {number}?") for number in range(4)]
    task = Task(dataset=samples, solver=generate(), scorer=includes())
    batch = BatchConfig(size=4, send_delay=0.5, tick=0.2)
    [log] = eval(task, model=model, batch=batch, max_tokens=64, log_dir=logs, display="none")
    assert log.samples is not None, log.error
    assert log.results is not None, log.error
    return {
        "status": log.status,
        "accuracy": log.results.scores[0].metrics["accuracy"].value,
        "answers": [sample.output.completion for sample in log.samples],
        "tokens": {name: usage.total_tokens for name, usage in log.stats.model_usage.items()},
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as logs:
        seen = {model: evaluate(model, logs) for model in MODELS}
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
