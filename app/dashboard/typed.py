"""What somebody typed into a form, checked field by field: a fault names its field."""

from flask import request

from app.errors import BadInput
from app.ingest.values import is_line, is_plain


def line(name: str, what: str, most: int) -> str:
    """One line of 1 to `most` characters."""
    text = request.form.get(name, "").strip()
    if not 1 <= len(text) <= most or not is_line(text):
        raise BadInput.of_field(name, f"give {what} of 1 to {most:,} characters, on one line")
    return text


def text(name: str) -> str | None:
    """Any text, with the line ends that programs use; None: nothing but space."""
    found = request.form.get(name, "").replace("\r\n", "\n")
    if not is_plain(found):
        raise BadInput.of_field(name, "it has a NUL or half a character in it, which no database keeps")
    return found if found.strip() else None


def whole(name: str, most: int) -> int | None:
    """A whole number from 1 to `most`, with or without commas; None: the field is empty."""
    typed = request.form.get(name, "").strip()
    digits = typed.replace(",", "").replace(" ", "")
    if not typed:
        return None
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 20 or not 1 <= int(digits) <= most:
        raise BadInput.of_field(
            name, f"give a whole number from 1 to {most:,}, or nothing; found {typed[:40]!r}"
        )
    return int(digits)


def is_checked(name: str) -> bool:
    return name in request.form


def faults(error: BadInput | None) -> dict[str, str]:
    """The faults by field; what no field is to blame for is under the empty name."""
    if error is None:
        return {}
    problems = error.details.get("problems", [])
    return {problem["where"]: problem["message"] for problem in problems} or {"": error.message}
