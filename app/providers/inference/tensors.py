"""Tensors of the Open Inference Protocol v2: the request for several items, and the output of each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# The values that a datatype takes, by the prefix of its name; other datatypes take any.
_TAKES: dict[str, tuple[type, ...]] = {
    "BYTES": (str,),
    "BOOL": (bool,),
    "INT": (int,),
    "UINT": (int,),
    "FP": (int, float),
    "BF": (int, float),
}
CONFIDENCE = "confidence"  # an output of this name holds the model's confidence in each item


@dataclass(frozen=True, slots=True)
class Tensor:
    """The tensor that a model takes, by its metadata."""

    name: str
    datatype: str


@dataclass(frozen=True, slots=True)
class Output:
    """The output for one item."""

    value: Any  # its row of the first output
    confidence: float | None


def of_model(metadata: Mapping[str, Any]) -> Tensor:
    """The only tensor in a model's metadata; raises `ValueError` for a model that takes none or several."""
    inputs = metadata.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        count = len(inputs) if isinstance(inputs, list) else "no list of"
        raise ValueError(f"an item has one tensor, but the model's metadata lists {count} inputs")
    return Tensor(str(inputs[0]["name"]), str(inputs[0]["datatype"]))


def shape_of(row: Any) -> tuple[int, ...]:
    """The dimensions of nested lists that are rectangular; empty for a single value."""
    return (len(row), *shape_of(row[0])) if isinstance(row, list) else ()


def misfit(row: Any, tensor: Tensor) -> str | None:
    """Why the tensor's datatype cannot hold a row's values; None if it can."""
    takes = next((types for start, types in _TAKES.items() if tensor.datatype.startswith(start)), None)
    if takes is None:
        return None
    for value in _flat(row):
        if not isinstance(value, takes) or (isinstance(value, bool) and bool not in takes):
            return f"the model's tensor {tensor.name!r} is {tensor.datatype}, the input holds {_kind(value)}"
    return None


def request(call: str, tensor: Tensor, shape: Sequence[int], rows: Sequence[Any]) -> dict[str, Any]:
    """The body of an inference call for rows of one shape; `call` is its id."""
    return {
        "id": call,
        "inputs": [
            {
                "name": tensor.name,
                "shape": [len(rows), *shape],
                "datatype": tensor.datatype,
                "data": [value for row in rows for value in _flat(row)],
            }
        ],
    }


def outputs(answer: Mapping[str, Any], items: int) -> list[Output]:
    """The output for each item, in the order in which they were sent; raises `ValueError`."""
    tensors = answer.get("outputs")
    if not isinstance(tensors, list) or not tensors:
        raise ValueError("it has no outputs")
    values = _rows(tensors[0], items)
    confidences: list[Any] = [None] * items
    for output in tensors[1:]:
        if str(output.get("name")).lower() == CONFIDENCE:
            confidences = [_number(row) for row in _rows(output, items)]
    return [Output(value, confidence) for value, confidence in zip(values, confidences, strict=True)]


def _rows(output: Mapping[str, Any], items: int) -> list[Any]:
    """The items' rows of one output, whose data may come flat or nested."""
    shape = output["shape"]
    if not shape or shape[0] != items:
        raise ValueError(f"{items} items were sent, but output {output.get('name')!r} has the shape {shape}")
    flat = list(_flat(output["data"]))
    size = math.prod(shape[1:])
    if len(flat) != items * size:
        raise ValueError(f"output {output.get('name')!r} of shape {shape} has {len(flat)} values")
    return [_nested(flat[start : start + size], shape[1:]) for start in range(0, len(flat), size)]


def _nested(flat: list[Any], shape: Sequence[int]) -> Any:
    if not shape:
        return flat[0]
    if len(shape) == 1:
        return flat
    size = len(flat) // shape[0]
    return [_nested(flat[start : start + size], shape[1:]) for start in range(0, len(flat), size)]


def _flat(value: Any) -> Iterator[Any]:
    if not isinstance(value, list):
        yield value
        return
    for part in value:
        yield from _flat(part)


def _number(row: Any) -> float | None:
    """A row's number, if it is a single one."""
    values = list(_flat(row))
    is_number = len(values) == 1 and isinstance(values[0], int | float) and not isinstance(values[0], bool)
    return float(values[0]) if is_number else None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "text"
    return "a number with a fraction" if isinstance(value, float) else "a whole number"
