"""Checking answers against the JSON Schema of their job."""

import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import jsonschema_rs

from app.core.requests import mending, patterns, schema_copies
from app.core.requests.schema_cost import weight
from app.core.requests.schema_references import REFERENCES, places
from app.core.requests.strict_schema import without_nulls
from app.errors import BadInput
from app.ingest.values import to_json

# Compiling a schema holds up everything else in its process: for a quarter of a second at these bounds.
MAX_USES = {
    "references": (REFERENCES, 10_000),  # in a row they take time by their square
    "divisors": (("multipleOf",), 10_000),  # 10 microseconds each
}
WRAPPING = frozenset({"type", "name", "description", "strict", "schema", "json_schema"})
MAX_PATTERNS = 100
MAX_PATTERN_PRICE = 20_000  # of all patterns; about characters, see `patterns.price`
PATTERN_BYTES = 1_000_000  # of one pattern, compiled
PATTERNS_BYTES = 20_000_000  # of all together
LIGHT = 20_000_000  # places of a schema times characters of an answer: under a second of work
CPU_SECONDS = 2  # for a heavy check in a process of its own
TOLD = 10  # faults of an answer
WALL_SECONDS = 20.0  # for the same on a busy machine
MEMORY = 1_000_000_000  # bytes of that process


class Verdict(NamedTuple):
    """What an answer is under its schema: JSON text that fits it, or what is wrong with it."""

    value: str | None = None
    fault: str | None = None
    is_mended: bool = False  # it was not quite JSON


class AnswerSchema:
    """A schema that answers are checked against."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises `BadInput` when `schema` is not a JSON Schema that can be used."""
        self._validator = compile_schema(schema)
        self._source = schema
        self._weight = weight(schema)

    def is_light(self, text: str) -> bool:
        """Whether this answer is known to be quick to check."""
        return self._weight is not None and self._weight * len(text) <= LIGHT

    def check(self, text: str, *, mends: bool = True) -> Verdict:
        """What the answer is as JSON, or what is wrong with it.

        `mends`: what is not quite JSON, and can be read without guessing, is read.
        """
        try:
            return self._checked(json.loads(text, parse_constant=_refuse_constant))
        except (ValueError, RecursionError) as error:  # also half a surrogate pair, and nesting without end
            fault = f"The answer is not JSON that can be checked: {_first_line(error)}"
        if mends:
            try:
                return self._checked(mending.mend(text))._replace(is_mended=True)
            except (ValueError, RecursionError):
                pass  # it is told what is wrong with what it wrote
        return Verdict(fault=fault)

    def _checked(self, value: Any) -> Verdict:
        found = list(islice(self._validator.iter_errors(value), TOLD))
        if found and (meant := without_nulls(value, self._source)) != value:
            value, found = meant, list(islice(self._validator.iter_errors(meant), TOLD))
        return Verdict(fault=_told(found)) if found else Verdict(value=to_json(value).decode())

    def check_in_subprocess(self, text: str, *, mends: bool) -> Verdict:
        """`check` in a process of its own, which is ended when it takes too long. Blocks the calling thread.

        With a schema that refers to itself a small answer may take years to check, and while a validator
        runs, nothing else in its process does: the lease would not be renewed.
        """
        request = json.dumps({"schema": self._source, "text": text, "mends": mends})
        try:
            done = subprocess.run(
                [sys.executable, "-m", "app.core.requests.schemas"],
                input=request.encode(),
                capture_output=True,
                timeout=WALL_SECONDS,
                check=True,
                start_new_session=True,  # Ctrl-C is for processes that can stop in order
            )
        except subprocess.SubprocessError:
            return Verdict(
                fault=f"The answer could not be checked within {CPU_SECONDS} s of processor time: simplify"
                " the schema, without recursion"
            )
        return Verdict(*json.loads(done.stdout))


def compile_schema(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """A validator; raises `BadInput` when `schema` is not a JSON Schema that can be used.

    What compiling it costs is counted first, so that it can be done right away. Patterns run in linear time;
    references to outside of the schema are refused, so nothing is fetched.
    """
    _refuse_wrapped(schema)
    count = _check_cost(schema)
    options = jsonschema_rs.RegexOptions(size_limit=min(PATTERN_BYTES, PATTERNS_BYTES // max(count, 1)))
    try:
        return jsonschema_rs.validator_for(
            dict(schema), pattern_options=options, offline=True, validate_formats=True
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise BadInput(f"schema: it is not a valid JSON Schema: {_first_line(error)}") from None


def _refuse_wrapped(schema: Mapping[str, Any]) -> None:
    """Refuse what other providers want around a schema: as one it would let anything pass."""
    for name in ("schema", "json_schema"):
        if isinstance(schema.get(name), Mapping) and schema.keys() <= WRAPPING:
            raise BadInput(f'schema: give the JSON Schema itself, which stands under "{name}" here')


def _check_cost(schema: Mapping[str, Any]) -> int:
    """The number of patterns; raises `BadInput` when compiling the schema would cost too much."""
    uses = Counter(name for place in places(schema) if isinstance(place, dict) for name in place)
    for what, (names, limit) in MAX_USES.items():
        if (count := sum(uses[name] for name in names)) > limit:
            raise BadInput(f"schema: it has {count:,} {what}; the limit is {limit:,}")
    found = list(patterns.of(schema))
    if len(found) > MAX_PATTERNS:
        raise BadInput(f"schema: it has {len(found):,} patterns; the limit is {MAX_PATTERNS}")
    price = sum(map(patterns.price, found))
    if price > MAX_PATTERN_PRICE:
        raise BadInput(
            f"schema: its patterns cost {price:,}; the limit is {MAX_PATTERN_PRICE:,}. Each character costs"
            f" 1, or {patterns.CASELESS} where a pattern sets flags; many of \\w, \\d and the like in one"
            " pattern cost more"
        )
    schema_copies.check(schema)
    return len(found)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _told(faults: Sequence[jsonschema_rs.ValidationError]) -> str:
    """Each fault with its place in the answer."""
    told = []
    for fault in faults:
        where = "/".join(str(part) for part in fault.instance_path)
        told.append(f"at /{where[:200]}: {fault.message[:500]}")
    return f"The answer does not match the schema {'; '.join(told)}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:500]


def _check_as_subprocess() -> None:
    """Run by `fault_in_subprocess`. The system enforces its bounds, also when its parent has died."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.load(sys.stdin)
    json.dump(AnswerSchema(request["schema"]).check(request["text"], mends=request["mends"]), sys.stdout)


if __name__ == "__main__":
    _check_as_subprocess()
