"""What a stack says of its HTTP contract, said for somebody at a terminal."""

PHRASES = {
    "GET /api/v1/jobs lists": "`penstock jobs list` lists",
    "GET /api/v1/models lists": "`penstock models` lists",
    "give 'simulated' as `model`": "give --model simulated",
    "Raise max_cost of the job (PATCH) and resume the job, or submit it with a lower max_tokens": (
        "Give a higher --max-cost, or start anew with a lower --max-tokens"
    ),
}


def for_terminal(text: str) -> str:
    """`text`, with the command or the option in place of a call or a field."""
    for said, meant in PHRASES.items():
        text = text.replace(said, meant)
    return text
