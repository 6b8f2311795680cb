"""The faults of a draft in the words of its page: beside fields, beside rows, and in a sentence."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.dashboard.blueprint import problems_of
from app.dashboard.phrases import for_page
from app.errors import BadInput, Refused

# Where a problem is: `row 7, column "review"`, `line 7`, `records[6].document`.
ROW = re.compile(r"(?:row|line) (\d{1,9})\b|records\[(\d{1,9})\]")
LABELS = {  # of fields on the page, by the names that the contracts have
    "max_cost": "Cost cap",
    "max_tokens": "Longest answer",
    "name": "Name of the job",
    "try_first": "Try first",
    "reuse": "Reuse answers",
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


def sentence_of(error: Refused) -> str:
    """What is wrong, naming fields as the page does."""
    found = problems(error)
    if not found or found[0]["where"] not in LABELS:
        return for_page(error.message)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{LABELS[found[0]['where']]}: {for_page(found[0]['message'])}{more}"


def by_field(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {problem["where"]: for_page(problem["message"]) for problem in found}


def by_row(found: Sequence[Mapping[str, Any]]) -> dict[int, list[str]]:
    """The faults of rows by their numbers; what has another place is left out."""
    rows: dict[int, list[str]] = {}
    for problem in found:
        if place := ROW.match(problem["where"]):
            number = int(place[1]) if place[1] else int(place[2]) + 1
            rest, message = problem["where"][place.end() :].strip(", "), problem["message"]
            rows.setdefault(number, []).append(for_page(f"{rest}: {message}" if rest else message))
    return rows
