"""Models in the shapes of two APIs, and a page of them. Pure."""

from collections.abc import Sequence
from typing import Any

from app.core.money.catalog import Model
from app.errors import BadRequest

UNKNOWN = "1970-01-01T00:00:00Z"  # when a model was released; the API allows for it

Json = dict[str, Any]


def anthropic(model: Model) -> Json:
    return {
        "type": "model",
        "id": model.name,
        "display_name": display_name(model.name),
        "created_at": UNKNOWN,
        "lifecycle": "active",
        "max_input_tokens": model.context,
        "max_tokens": None,
        "capabilities": None,  # its type asks for all of them, and its provider alone knows them
        "line": None,
        "deprecated_at": None,
        "retires_at": None,
    }


def openai(model: Model) -> Json:
    return {"id": model.name, "object": "model", "created": 0, "owned_by": model.provider}


def page(
    models: Sequence[Model], limit: int = 20, after_id: str | None = None, before_id: str | None = None
) -> Json:
    """A page of the Messages API's list: what follows `after_id`, or precedes `before_id`.

    Raises `BadRequest` for an id that is not in the list.
    """
    names = [model.name for model in models]
    first, last = 0, len(names)
    if after_id is not None:
        first = _place(names, after_id, "after_id") + 1
    if before_id is not None:
        last = _place(names, before_id, "before_id")
    backwards = before_id is not None and after_id is None
    begin = max(first, last - limit) if backwards else first
    chosen = models[begin : min(last, begin + limit)]
    return {
        "data": [anthropic(model) for model in chosen],
        "has_more": begin > first if backwards else begin + limit < last,
        "first_id": chosen[0].name if chosen else None,
        "last_id": chosen[-1].name if chosen else None,
    }


def display_name(name: str) -> str:
    """`claude-haiku-4-5` is Claude Haiku 4.5."""
    words: list[str] = []
    for part in name.split("-"):
        if words and part.isdigit() and len(part) < 3 and words[-1].replace(".", "").isdigit():
            words[-1] += f".{part}"
        else:
            words.append(part.capitalize())
    return " ".join(words)


def _place(names: Sequence[str], name: str, parameter: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise BadRequest(f"{parameter}: there is no model {name!r} in this list") from None
