"""The faults of a draft in the words of its page: beside fields, beside rows, and in a sentence."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.dashboard.blueprint import problems_of
from app.errors import BadInput, Refused

# Where a problem is: `row 7, column "review"`, `line 7`, `records[6].document`.
ROW = re.compile(r"(?:row|line) (\d{1,9})\b|records\[(\d{1,9})\]")
OPTION = re.compile(r" \(--[\w-]+(?: N)?\)")
# A table without a prompt: the columns, which the message lists, are in sight.
NO_PROMPT = re.compile(r'a table needs a template, or a column "prompt"; it has .*', re.DOTALL)
LABELS = {  # of fields on the page, by the names that the contracts have
    "max_cost": "Cap",
    "max_tokens": "Longest answer",
    "name": "Name of the job",
    "header_row": "Header row",
    "sheet": "Sheet",
    "model": "Model",
    "template": "Prompt",
    "prompt": "Prompt",
    "system": "System prompt",
    "encoding": "Encoding",
    "separator": "Separator",
    "aiProvider": "Provider",
    "searchProvider": "Web search",
    "question": "Question",
    "column": "Column that holds the texts",
}


def problems(error: Refused | None) -> list[dict[str, Any]]:
    """The faults of an input, each with `where` and `message`."""
    return problems_of(error) if isinstance(error, BadInput) else []


def plain(text: str) -> str:
    """A sentence of ours in the words of the page, without what only a command line has."""
    return NO_PROMPT.sub("write a prompt first", OPTION.sub("", text))


def sentence_of(error: Refused) -> str:
    """What is wrong, naming fields as the page does."""
    found = problems(error)
    if not found or found[0]["where"] not in LABELS:
        return plain(error.message)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{LABELS[found[0]['where']]}: {found[0]['message']}{more}"


def by_field(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {problem["where"]: problem["message"] for problem in found}


def by_row(found: Sequence[Mapping[str, Any]]) -> dict[int, list[str]]:
    """The faults of rows by their numbers; what has another place is left out."""
    rows: dict[int, list[str]] = {}
    for problem in found:
        if place := ROW.match(problem["where"]):
            number = int(place[1]) if place[1] else int(place[2]) + 1
            rest, message = problem["where"][place.end() :].strip(", "), problem["message"]
            rows.setdefault(number, []).append(f"{rest}: {message}" if rest else message)
    return rows
