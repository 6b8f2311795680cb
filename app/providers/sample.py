"""A small JSON value that fits a JSON schema: the simulated provider's structured answer."""

import datetime as dt
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LARGEST = 10_000  # values, or a thousand times as many characters, in one sample
EPOCH, DAYS = dt.date(2020, 1, 1).toordinal(), 3_650  # among which a date is chosen
DEEPEST = 5  # below this only required properties are made, so that recursive schemas terminate


def fit(schema: Mapping[str, Any], chance: random.Random) -> Any:
    """A value for `schema`, the same for the same `chance`; of formats only dates, no patterns, no `not`."""
    return _Sample(schema, chance).value(schema, 0)


class _Sample:
    def __init__(self, root: Mapping[str, Any], chance: random.Random) -> None:
        self._root = root
        self._chance = chance
        self._room = LARGEST
        self._makers: dict[str, Callable[[Mapping[str, Any], int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda schema, depth: self._chance.random() < 0.5,
            "null": lambda schema, depth: None,
        }

    def value(self, schema: Any, depth: int) -> Any:
        self._take(1)
        if not isinstance(schema, Mapping):  # `true`: anything fits
            return None
        if "$ref" in schema:
            return self.value(self._find(schema["$ref"]), depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        for choice in ("anyOf", "oneOf", "allOf"):
            if choice in schema:
                return self.value(schema[choice][0], depth)
        return self._makers[_type(schema)](schema, depth)

    def _take(self, values: int) -> None:
        self._room -= values
        if self._room < 0:
            raise ValueError("a value that fits would be too large")

    def _find(self, reference: str) -> Any:
        """The target of a reference within the schema (`#/$defs/name`)."""
        target: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            target = target[step] if step else target
        return target

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required: Sequence[str] = schema.get("required", [])
        names = properties if depth < DEEPEST else required
        made = {name: self.value(properties.get(name), depth + 1) for name in names}
        return made | {name: None for name in required if name not in properties}

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        fewest, most = schema.get("minItems", 0), schema.get("maxItems", 1)
        length = max(fewest, min(most, 1 if depth < DEEPEST else 0))
        self._take(length)
        return [self.value(schema.get("items"), depth + 1) for _ in range(length)]

    def _string(self, schema: Mapping[str, Any], depth: int) -> str:
        if schema.get("format") == "date":
            return dt.date.fromordinal(EPOCH + self._chance.randrange(DAYS)).isoformat()
        length = schema.get("minLength", 0)
        self._take(length // 1_000)
        text = "[simulated]".ljust(length, ".")
        return text[: schema.get("maxLength")]

    def _integer(self, schema: Mapping[str, Any], depth: int) -> int:
        low, high = _bounds(schema, step=1)
        return self._chance.randint(math.ceil(low), max(math.ceil(low), math.floor(high)))

    def _number(self, schema: Mapping[str, Any], depth: int) -> float:
        low, high = _bounds(schema, step=0.01)
        return min(high, max(low, round(self._chance.uniform(low, high), 2)))


def _type(schema: Mapping[str, Any]) -> str:
    types = schema.get("type", "object" if "properties" in schema else "string")
    return types if isinstance(types, str) else str(types[0])


def _bounds(schema: Mapping[str, Any], step: float) -> tuple[float, float]:
    """The least and the greatest number that fit; by default from 0, and a range of 1."""
    low = schema.get("minimum", schema.get("exclusiveMinimum", -step) + step)
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 1 + step) - step)
    return min(low, high), high
