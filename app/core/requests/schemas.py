"""Checking answers against the JSON Schema of their job."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from app.core.requests.schema_cost import weight
from app.errors import BadInput

MAX_PATTERNS = 100  # each may take 10 ms to compile, in which nothing else of a process runs
PATTERN_BYTES = 1_000_000  # compiled
LIGHT = 20_000_000  # places of a schema times characters of an answer: under a second of work
CPU_SECONDS = 2  # that a heavy check may take in a process of its own
WALL_SECONDS = 20.0  # the same on a machine that is busy
MEMORY = 1_000_000_000  # bytes of that process


class AnswerSchema:
    """A schema that answers are checked against."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises `BadInput` when `schema` is none, or cannot be used."""
        self._validator = compile_schema(schema)
        self._source = schema
        self._weight = weight(schema)

    def is_light(self, text: str) -> bool:
        """Whether checking this answer is known to hold up nobody."""
        return self._weight is not None and self._weight * len(text) <= LIGHT

    def fault(self, text: str) -> str | None:
        """What is wrong with an answer, in words; None when it fits."""
        try:
            found = next(self._validator.iter_errors(json.loads(text)), None)
        except (ValueError, RecursionError) as error:  # also half a surrogate pair, and nesting without end
            return f"The answer is not JSON that can be checked: {_first_line(error)}"
        if found is None:
            return None
        where = "/".join(str(part) for part in found.instance_path)
        return f"The answer does not fit the schema at /{where[:200]}: {found.message[:500]}"

    def fault_in_subprocess(self, text: str) -> str | None:
        """The same from a process of its own, which ends when it takes too long: call it on a thread.

        A schema that names itself can make years of work of a small answer, and while a validator works,
        nothing else of its process does: its lease would not be renewed.
        """
        asked = json.dumps({"schema": self._source, "text": text})
        try:
            done = subprocess.run(
                [sys.executable, "-m", "app.core.requests.schemas"],
                input=asked.encode(),
                capture_output=True,
                timeout=WALL_SECONDS,
                check=True,
                start_new_session=True,  # Ctrl-C is for those who can stop in order
            )
        except subprocess.SubprocessError:
            return (
                f"The answer could not be checked within {CPU_SECONDS} s of processor time:"
                " make the schema simpler, without parts that name themselves"
            )
        told: str | None = json.loads(done.stdout)
        return told


def compile_schema(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """A validator; raises `BadInput` when `schema` is none.

    Patterns run in linear time, and are few and small enough to be compiled at once; references outside of
    the schema are refused, so nothing is fetched.
    """
    if (patterns := sum(_patterns(schema))) > MAX_PATTERNS:
        raise BadInput(f"schema: it has {patterns:,} patterns, the limit is {MAX_PATTERNS}")
    options = jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES)
    try:
        return jsonschema_rs.validator_for(dict(schema), pattern_options=options, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise BadInput(f"schema: it is no JSON Schema that can be used: {_first_line(error)}") from None


def _patterns(schema: Any) -> Iterator[int]:
    """How many patterns each place of a schema has, at the most."""
    waiting = [schema]
    while waiting:
        place = waiting.pop()
        if isinstance(place, dict):
            found = place.get("patternProperties")
            yield isinstance(place.get("pattern"), str) + (len(found) if isinstance(found, dict) else 0)
            waiting.extend(place.values())
        elif isinstance(place, list):
            waiting.extend(place)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:500]


def _check_apart() -> None:
    """Run by `fault_in_subprocess`. The system enforces its bounds, also when its parent has died."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = json.load(sys.stdin)
    json.dump(AnswerSchema(asked["schema"]).fault(asked["text"]), sys.stdout)


if __name__ == "__main__":
    _check_apart()
