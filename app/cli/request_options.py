"""The options that say what is asked of which rows, shared by `penstock run` and `penstock estimate`."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from app.cli.input.stdin import FORMATS
from app.errors import BadInput

TEXT_FILE = click.Path(path_type=Path)


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options. The command gets them under the names that they have in `app.cli.order.Order`,
    whichever way they were given.
    """

    @wraps(command)
    def with_texts(
        *arguments: Any,
        prompt: str | None,
        prompt_file: Path | None,
        system: str | None,
        system_file: Path | None,
        schema: Path | None,
        fields: Sequence[str],
        param: Sequence[str],
        **options: Any,
    ) -> Any:
        if fields and schema is not None:
            raise click.UsageError("give --field or --schema, not both")
        return command(
            *arguments,
            prompt=_text("prompt", prompt, prompt_file),
            system=_text("system", system, system_file),
            schema=None if schema is None else _schema(schema),
            answer_fields=tuple(fields),
            params=_params(param),
            **options,
        )

    for option in reversed(_OPTIONS):
        with_texts = option(with_texts)
    return with_texts


_OPTIONS = (
    click.option("--prompt", metavar="TEMPLATE", help="Prompt for each row, e.g. 'Summarise: {{ review }}'."),
    click.option(
        "--ask",
        "asks",
        metavar="'NAME: TEMPLATE'",
        multiple=True,
        help="One of several prompts for each row, in place of --prompt; its answers go to the column NAME."
        " May be repeated.",
    ),
    click.option("--prompt-file", metavar="FILE", type=TEXT_FILE, help="The same, from a text file (UTF-8)."),
    click.option(
        "--model",
        help="Model to use, see `penstock models`  [default: DEFAULT_MODEL; `simulated` where no API key is"
        " set]",
    ),
    click.option(
        "--max-tokens", type=click.IntRange(min=1), help="Longest answer  [default: DEFAULT_MAX_TOKENS]"
    ),
    click.option("--system", metavar="TEXT", help="System prompt for every request."),
    click.option("--system-file", metavar="FILE", type=TEXT_FILE, help="The same, from a text file (UTF-8)."),
    click.option(
        "--schema",
        metavar="FILE",
        type=TEXT_FILE,
        help="JSON Schema that every answer must match: each answer is then JSON.",
    ),
    click.option(
        "--field",
        "fields",
        metavar="'NAME: KIND'",
        multiple=True,
        help="A field of every answer, which becomes a column: a KIND is text, number, integer, yes/no, date,"
        " 1..5, a | b | c, or list of any of these; ? behind it: may be left out; after ' #': what it means."
        " May be repeated.",
    ),
    click.option(
        "--escalate-to",
        metavar="MODEL",
        help="A stronger model of the same provider, asked where no answer of the other fits its fields.",
    ),
    click.option(
        "--dedupe", is_flag=True, help="Ask equal rows once; the others have the same answer, free."
    ),
    click.option(
        "--reuse",
        "reuse_days",
        metavar="DAYS",
        type=click.IntRange(min=1, max=365),
        help="Take over, free, what equal rows of runs with --reuse were answered within so many days.",
    ),
    click.option(
        "--param",
        metavar="NAME=VALUE",
        multiple=True,
        help="Anything else to send with every request, e.g. temperature=0; VALUE is JSON or text."
        " May be repeated.",
    ),
    click.option(
        "--no-prompt-cache",
        "prompt_cache",
        flag_value=False,
        default=None,
        help="Do not have the provider keep what all requests share, though it costs less.",
    ),
    click.option(
        "--format",
        type=click.Choice(FORMATS),
        help="What comes by standard input, where FILE is -  [default: as it begins]",
    ),
    click.option("--rows", type=click.IntRange(min=1), help="Only the first N rows that are asked."),
    click.option("--sheet", metavar="NAME", help="Sheet of the workbook  [default: the first one shown]"),
    click.option(
        "--header-row",
        type=click.IntRange(min=0),
        help="Row that names the columns; 0 if none does, and they are column 1 and so on  [default: 1]",
    ),
    click.option("--visible-only", is_flag=True, help="Leave out the rows that are hidden in the sheet."),
)


def _text(name: str, given: str | None, file: Path | None) -> str | None:
    if file is None:
        return given
    if given is not None:
        raise click.UsageError(f"give --{name} or --{name}-file, not both")
    return _read(file).removesuffix("\n")


def _schema(file: Path) -> Mapping[str, Any]:
    try:
        schema = json.loads(_read(file))
    except ValueError as error:
        raise BadInput(f"{file} is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise BadInput(f'{file} is not a JSON Schema: give an object, such as {{"type": "object", …}}')
    return schema


def _params(given: Sequence[str]) -> Mapping[str, Any]:
    params: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not name.strip() or not equals:
            raise click.UsageError(f"--param {one!r}: give NAME=VALUE, such as temperature=0")
        if name in params:
            raise click.UsageError(f"--param {name} is given twice")
        params[name.strip()] = _value(value)
    return params


def _value(text: str) -> Any:
    """The JSON that it is, or the text itself: quotation marks rarely survive a shell."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(file: Path) -> str:
    """A text as editors save it; raises `BadInput` naming what is wrong with the file."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not UTF-8 (byte {error.start + 1}): save it as UTF-8") from None
