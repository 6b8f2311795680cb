"""What the author of a template probably meant: names of columns that are written in another way."""

import re
from collections.abc import Collection, Iterable
from itertools import islice

from app.ingest.values import quoted

LISTED = 50  # columns
LOOKED_AT = 100  # places in a template
# A name that is no single word, in double braces. A quotation mark behind a letter or a digit is part of it,
# as in "What's new?"; any other is that of a text.
DOUBLE = re.compile(r"\{\{-?((?:[^{}\"'|\n]|(?<=\w)[\"']){1,200})(?:\||\}\})")
CONDITION = re.compile(
    r"\{%-?\s{0,9}(?:el)?if\s{1,9}(?:not\s{1,9})?([^{}\"'|<>=!%\n]{1,200}?)\s{0,9}[|<>=!%-]"
)
NAMED = re.compile(r"[^\W\d]\w*(?:\.\w+|\[\w+\])*")  # what is a name to a template
OPERATORS = re.compile(r"\b(?:and|or|in|is|not|else)\b")
NO_LETTERS = re.compile(r"[\W_]+")
SINGLE_WORD = re.compile(r"[^\W\d]\w*")
OTHER = re.compile(
    r"\{\{-?\s{0,9}[\"']?([^{}\"'|\n]{1,200}?)[\"']?\s{0,9}-?\}\}|"
    r"(?<!\{)\{([^{}\n]{1,200})\}(?!\})|\[([^\[\]\n]{1,200})\]|<([^<>\n]{1,200})>|%([^%\n]{1,200})%"
)


def place(column: str) -> str:
    """How a template names a column."""
    if SINGLE_WORD.fullmatch(column):
        return f"{{{{ {column} }}}}"
    name = column.replace("\\", "\\\\").replace('"', '\\"')
    return f"{{{{ row[{quoted(name)}] }}}}"


def long_name(source: str) -> str:
    """A hint at the first name in double braces that is more than a word; nothing if there is none."""
    places = (*islice(DOUBLE.finditer(source), LOOKED_AT), *islice(CONDITION.finditer(source), LOOKED_AT))
    for found in places:
        name = found[1].removesuffix("-").strip().removeprefix("row.")
        if name and not NAMED.fullmatch(name) and not (found.re is CONDITION and OPERATORS.search(name)):
            return f"; a column with the name {quoted(name)} is written {place(name)}"
    return ""


def no_column(source: str, columns: Collection[str]) -> str:
    """The sentence for a template that would ask the same of every row of a table."""
    found = _other_place(source, columns, braces_only=False)
    if found is not None:
        there, column = found
        return (
            f"the template names no column, so every row would ask the same: {there} is not filled in, write"
            f" {place(column)}"
        )
    there = ", ".join(map(quoted, islice(columns, LISTED)))
    return (
        "the template names no column, so every row would ask the same: write"
        f" {place(next(iter(columns)))} where the row's cell belongs; the columns are {there}"
    )


def stray_place(source: str, columns: Collection[str]) -> str | None:
    """The sentence for a column in single braces, which is not filled in."""
    found = _other_place(source, columns, braces_only=True)
    if found is None:
        return None
    there, column = found
    return f"{there} in the template is not filled in: for the column write {place(column)}"


def _other_place(source: str, columns: Collection[str], *, braces_only: bool) -> tuple[str, str] | None:
    """A column's name in other brackets, as it stands there."""
    named = {column.casefold(): column for column in columns}
    for found in OTHER.finditer(source):
        name = next(group for group in found.groups() if group is not None).strip()
        if found[1] is not None and SINGLE_WORD.fullmatch(found[0].strip("{}- ")):
            continue  # it is filled in
        if name.casefold() in named and (not braces_only or found[1] or found[2] is not None):
            return found[0], named[name.casefold()]
    return None


def absent_columns(absent: Collection[str], found: Iterable[str]) -> str:
    """The sentence for columns that a template uses and a row or a sheet lacks."""
    them = ", ".join(map(quoted, sorted(absent)))
    there = list(islice(found, LISTED))
    names = ", ".join(map(quoted, there)) or "no column"
    alike = set(map(_squeezed, absent))
    same = (name for name in there if _squeezed(name) in alike)
    meant = next(same, None) or next((name for name in there if _is_longer(name, absent)), None)
    hint = "" if meant is None else f"; the column {quoted(meant)} is written {place(meant)}"
    return f"the template uses {them}; there is {names}{hint}"


def _squeezed(name: str) -> str:
    """A name in small letters, without what is no letter and no digit."""
    return NO_LETTERS.sub("", name.casefold()) or name


def _is_longer(name: str, words: Collection[str]) -> bool:
    """Whether a name begins with one of these words, and is more than a word."""
    return not SINGLE_WORD.fullmatch(name) and any(
        name.casefold().startswith(word.casefold()) for word in words
    )
