"""Curator's batch mode, for both providers."""

import json
import os
import tempfile
from typing import Any

MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        os.environ["CURATOR_CACHE_DIR"] = cache
        print(json.dumps({backend: answers(backend, model) for backend, model in MODELS.items()}))


def answers(backend: str, model: str) -> dict[str, Any]:
    from bespokelabs import curator

    class Asker(curator.LLM):
        def prompt(self, row: dict[str, Any]) -> str:
            return str(row["question"])

        def parse(self, row: dict[str, Any], response: str) -> dict[str, Any]:
            return {"question": row["question"], "answer": response}

    asker = Asker(
        model_name=model,
        backend=backend,
        batch=True,
        backend_params={"batch_check_interval": 1, "base_url": os.environ[f"{backend.upper()}_BASE_URL"]},
    )
    found = asker([{"question": f"Question {number}?"} for number in range(3)])
    rows = found.dataset if hasattr(found, "dataset") else found
    return {"rows": [dict(row) for row in rows]}


if __name__ == "__main__":
    main()
