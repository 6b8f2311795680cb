"""What a stack says of its HTTP contract, said for somebody at a terminal."""

import re

PHRASES = {
    "GET /api/v1/jobs lists": "`penstock jobs list` lists",
    "GET /api/v1/models lists": "`penstock models` lists",
    "GET /api/v1/limits lists": "`penstock limits list` lists",
    "give 'simulated' as `model`": "give --model simulated",
    "a table needs a template, or": "a table needs a --prompt, or",
    "Give a `max_tokens` larger": "Give a --max-tokens larger",
    "name `refused` in `only`": "give --only refused",
    "`from` (": "--since (",
    "must be before `to` (": "must be before --until (",
    ". Then resume the job: it tries one call first.": ".",  # the run says how
    "Raise max_cost of the job (PATCH) and resume the job, or submit it with a lower max_tokens": (
        "Give a higher --max-cost, or start anew with a lower --max-tokens"
    ),
}
FIELD = re.compile(r"(sheet|header_row|visible_only|rows|max_cost|max_tokens|system|schema|from|to)(?=: )")
SPAN = {"from": "--since", "to": "--until"}  # of `penstock usage`


def for_terminal(text: str) -> str:
    """`text`, with the command or the option in place of a call or a field."""
    for said, meant in PHRASES.items():
        text = text.replace(said, meant)
    field = FIELD.match(text)
    if not field:
        return text
    return SPAN.get(field[0], f"--{field[0].replace('_', '-')}") + text[field.end() :]
