"""Model classes: which models share a provider's limits, from config/limits.toml and an operator's file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from config import settings
from config.settings import BadSetting

FIGURES = (
    "requests_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "max_concurrent_calls",
)
LARGEST = 10**12  # a larger figure is a mistake


@dataclass(frozen=True, slots=True)
class ModelClass:
    """One entry of the file; a figure of None was not given."""

    name: str
    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    max_concurrent_calls: int | None = None
    cache_reads_count: bool = False


def class_of(model: str) -> ModelClass:
    """The class with the longest matching prefix; a model that matches none is a class of its own."""
    fitting = [
        (len(start), known)
        for known in _classes().values()
        for start in known.models
        if model == start or model.startswith(f"{start}-")
    ]
    if not fitting:
        return named(model)
    return max(fitting, key=lambda fit: fit[0])[1]


def is_known(name: str) -> bool:
    """Whether a class of this name is in a file."""
    return name in _classes()


def named(name: str) -> ModelClass:
    """The class of this name."""
    return _classes().get(name) or ModelClass(name)


@cache
def _classes() -> Mapping[str, ModelClass]:
    shipped = tomllib.loads(resources.files("config").joinpath("limits.toml").read_text(encoding="utf-8"))
    classes = {line["name"]: _read(line) for line in shipped["class"]}
    custom = settings.current().limits_file
    return classes if custom is None else _with_custom(classes, custom)


def _with_custom(classes: dict[str, ModelClass], file: Path) -> dict[str, ModelClass]:
    """The classes with those of an operator's file; raises `BadSetting` naming what is wrong in it."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        for line in content["class"]:
            shipped = classes.get(line["name"])
            custom = _read(line)
            if shipped is not None and not custom.models:
                custom = ModelClass(**{**_fields(custom), "models": shipped.models})
            classes[custom.name] = custom
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as fault:
        raise BadSetting(
            "PENSTOCK_LIMITS_FILE", str(file), f"a file in the form of config/limits.toml ({fault!r})"
        ) from fault
    return classes


def _read(line: Mapping[str, Any]) -> ModelClass:
    for name in FIGURES:
        figure = line.get(name, 1)
        if type(figure) is not int or not 1 <= figure <= LARGEST:
            raise ValueError(f"class {line['name']}: {name} is {figure!r}")
    return ModelClass(**{**line, "models": tuple(line.get("models", ()))})


def _fields(model_class: ModelClass) -> dict[str, Any]:
    return {name: getattr(model_class, name) for name in ModelClass.__slots__}
