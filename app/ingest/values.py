"""Values of records: parsed from JSON, written as JSON, measured, and shown as text.

JSON may contain what UTF-8 cannot: unpaired surrogates. Nothing here loses or rejects them.
"""

import json
from typing import Any, NoReturn

MAX_PARTS = (
    2_000_000  # lists and objects in one JSON text: while they are built, nothing else in the process runs
)


def from_json(text: str) -> Any:
    """The value of `text`; raises `ValueError` with the error and its column."""
    if len(text) > MAX_PARTS and text.count("[") + text.count("{") > MAX_PARTS:
        raise ValueError(f"it has over {MAX_PARTS:,} lists and objects")
    start = len(text) - len(text.lstrip(_SPACES))
    try:
        # `decode` finds whitespace around the value with regular expressions, which takes as long as a record
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at column {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if extra := text[end:].lstrip(_SPACES):
        raise ValueError(f"Extra data at column {len(text) - len(extra) + 1}")
    return value


def to_json(value: Any) -> bytes:
    """Compact JSON in UTF-8, or in ASCII if it contains unpaired surrogates.

    Raises `ValueError` for a number that JSON cannot represent, and for endless nesting.
    """
    if isinstance(value, str) and value.isascii():
        return _ASCII_ENCODER.encode(value).encode()  # the same bytes, in half the time
    try:
        return _ENCODER.encode(value).encode()
    except UnicodeEncodeError:
        return _ASCII_ENCODER.encode(value).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def byte_size(text: str) -> int:
    """Bytes of `text` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def is_plain(text: str) -> bool:
    """Whether a database accepts it as text: it contains no NUL and no unpaired surrogate."""
    try:
        return "\0" not in text and (text.isascii() or bool(text.encode()))
    except UnicodeEncodeError:
        return False


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested over `levels` deep."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    if levels and _NESTING.isdisjoint(map(type, inner)):
        return False  # decided without a call for each part: a row may have thousands of plain cells
    return levels == 0 or any(is_deeper(part, levels - 1) for part in inner)


def as_text(value: Any) -> str:
    """A cell as a spreadsheet reader expects it: nothing for an empty one, JSON for anything but strings."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        return _ENCODER.encode(value)
    return str(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


_NESTING = {dict, list}
_SPACES = " \t\r\n"
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
# Values come from JSON or a sheet, so they contain no cycles.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False)
_ASCII_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)
