"""Values of records: parsed from JSON, written as JSON, measured, and shown as text.

JSON may contain what UTF-8 cannot: unpaired surrogates. Nothing here loses or rejects them.
"""

import json
import math
import re
import sys
from typing import Any, NoReturn

MAX_PARTS = (
    2_000_000  # lists and objects in one JSON text: while they are built, nothing else in the process runs
)
MAX_NESTED = 200  # levels of lists and objects: later readers may have less stack than this one
# Spaces, controls, and characters that are there but show nothing.
INVISIBLE = (
    r"\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f"
    r"\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_VISIBLE = re.compile(f"[^{INVISIBLE}]")
_ODD_IN_NAMES = re.compile(f"[{INVISIBLE}]")
_JOINERS = dict.fromkeys(
    map(ord, "\u200c\u200d")
)  # within words of Persian and of Indic languages, and in emoji
_SHOWN = 60  # characters of a value in an error
MAX_DIGITS = 18  # of a whole number that is given as text: more than any of ours has


def from_json(text: str) -> Any:
    """The value of `text`, which `to_json` can write again.

    Raises `ValueError` with the error and its column; also for numbers that are too large for a float, and
    for lists and objects that are nested over 200 deep.
    """
    parts = text.count("[") + text.count("{") if len(text) > MAX_NESTED else 0
    if parts > MAX_PARTS:
        raise ValueError(f"it has over {MAX_PARTS:,} lists and objects")
    start = len(text) - len(text.lstrip(_SPACES))
    try:
        # `decode` finds whitespace around the value with regular expressions, which takes as long as a record
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at column {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise _in_plain_words(error) from None
    if parts > MAX_NESTED and is_deeper(value, MAX_NESTED):
        raise ValueError(f"it is nested over {MAX_NESTED} deep")
    if extra := text[end:].lstrip(_SPACES):
        raise ValueError(f"Extra data at column {len(text) - len(extra) + 1}")
    return value


def first_value(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at `start` of `text`, and where it ends; something else may follow.

    Raises `json.JSONDecodeError`, and `ValueError` for numbers and nesting as `from_json` does.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise _in_plain_words(error) from None


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


def is_blank(value: Any) -> bool:
    """Whether a cell or a text shows nothing. Numbers and truth values show something."""
    return value is None or (isinstance(value, str) and _VISIBLE.search(value) is None)


def kind_of(value: Any) -> str:
    """What a value of JSON is called in an error."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "a string" if value else "an empty string"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "an object" if isinstance(value, dict) else "a number"


def quoted(name: str) -> str:
    """A name in quotation marks, with escapes for what a reader could not see or would take for a space."""
    return '"' + _ODD_IN_NAMES.sub(lambda odd: odd[0] if odd[0] == " " else _escaped(odd[0]), name) + '"'


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]


def is_line(text: str) -> bool:
    """Whether a text is one line of characters that are shown, or that join those beside them."""
    return text.translate(_JOINERS).isprintable()


def as_line(text: str, between: str = "") -> str:
    """A text with `between` in place of each other character."""
    return "".join(letter if is_line(letter) else between for letter in text)


def is_plain(text: str) -> bool:
    """Whether a database accepts it as text: it contains no NUL and no unpaired surrogate."""
    try:
        return "\0" not in text and (text.isascii() or bool(text.encode()))
    except UnicodeEncodeError:
        return False


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested over `levels` deep."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(levels):
        deeper: list[Any] = []
        for part in level:
            inner = part.values() if type(part) is dict else part
            deeper += [one for one in inner if type(one) in _CONTAINERS]
        if not deeper:
            return False
        level = deeper
    return bool(level)


def whole_number(text: str) -> int | None:
    """The whole number that a text consists of, up to 18 ASCII digits with or without a minus; else None.

    Python's own `isdigit` is true for texts that `int` refuses, and `int` reads digits of all scripts.
    """
    digits = text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS):
        return None
    return int(text)


def shown(value: Any) -> str:
    """A value of JSON as an error says that it was found: a short one itself, of others what they are."""
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value)[:_SHOWN] if is_number else kind_of(value)


def as_text(value: Any) -> str:
    """A cell as a spreadsheet reader expects it: nothing for an empty one, JSON for anything but strings."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        return _ENCODER.encode(value)
    return str(value)


def _in_plain_words(error: ValueError) -> ValueError:
    """Of a whole number with too many digits Python says which of its functions would allow for more."""
    if "set_int_max_str_digits" not in str(error):
        return error
    return ValueError(f"it has a whole number of over {sys.get_int_max_str_digits():,} digits")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


_CONTAINERS = frozenset({dict, list})  # exactly: what is read from JSON has no others
_SPACES = " \t\r\n"
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
# Values come from JSON or a sheet, so they contain no cycles.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False)
_ASCII_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)
