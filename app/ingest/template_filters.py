"""The filters of prompt templates: none calls code, loops, or makes much out of little.

Each takes a cell (string, number, boolean, list, object, or null) and constants; names and arguments are
Jinja's.
"""

from collections.abc import Callable
from typing import Any

from jinja2 import Undefined

from app.ingest.values import as_text, to_json

MAX_CHARACTERS = 1_000_000  # in the result of a filter


def upper(value: Any) -> str:
    return _text(value).upper()


def lower(value: Any) -> str:
    return _text(value).lower()


def capitalize(value: Any) -> str:
    return _text(value).capitalize()


def title(value: Any) -> str:
    return _text(value).title()


def trim(value: Any) -> str:
    return _text(value).strip()


def truncate(value: Any, length: int = 255, killwords: bool = False, end: str = "...") -> str:
    """At most `length` characters, including `end`; a word is cut only with `killwords`."""
    text = _text(value)
    if len(text) <= length:
        return text
    kept = text[: max(0, length - len(end))]
    return (kept if killwords else kept.rsplit(" ", 1)[0]) + end


def replace(value: Any, old: str, new: str) -> str:
    text, old, new = _text(value), _text(old), _text(new)
    if not old:
        raise ValueError("replace: nothing to search for")
    _limit("replace", len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """`default_value` for a missing column and for an empty cell; with `boolean` also for 0 and false."""
    empty = isinstance(value, Undefined) or value in ("", None) or (boolean and not value)
    return default_value if empty else value


def length(value: Any) -> int:
    return len(value) if isinstance(value, dict | list) else len(_text(value))


def join(value: Any, d: str = "") -> str:
    items = [_text(item) for item in value] if isinstance(value, list) else [_text(value)]
    separator = _text(d)
    _limit("join", sum(map(len, items)) + len(separator) * len(items))
    return separator.join(items)


def tojson(value: Any) -> str:
    """JSON without escaping: quotes and letters of any script stay readable."""
    return to_json(_present(value)).decode()


def whole(value: Any, default: int = 0) -> int:
    """A whole number; `default` when the cell has none."""
    if isinstance(value, int):
        return int(value)
    text = _text(value)
    try:
        return int(text) if text.strip("+- \t\n").isdigit() else int(float(text))
    except (ValueError, OverflowError):
        return default


def rounded(value: Any, precision: int = 0) -> float:
    try:
        return round(float(_text(value)), precision)
    except ValueError:
        raise ValueError("round: the cell has no number") from None


ALL: dict[str, Callable[..., Any]] = {
    "upper": upper,
    "lower": lower,
    "capitalize": capitalize,
    "title": title,
    "trim": trim,
    "truncate": truncate,
    "replace": replace,
    "default": default,
    "length": length,
    "join": join,
    "tojson": tojson,
    "int": whole,
    "round": rounded,
}
FOR_ABSENT = frozenset({"default"})  # what can be done with a missing column


def _text(value: Any) -> str:
    return as_text(_present(value))


def _present(value: Any) -> Any:
    """`value`; raises Jinja's error for a missing one."""
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    return value


def _limit(name: str, characters: int) -> None:
    if characters > MAX_CHARACTERS:
        raise ValueError(f"{name} would produce {characters:,} characters; the limit is {MAX_CHARACTERS:,}")
