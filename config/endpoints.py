"""Endpoints that speak as OpenAI's API does, from config/providers.toml and an operator's file."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.variables import BadSetting

FILE = "PENSTOCK_PROVIDERS_FILE"
USUAL, USUAL_ADDRESS = "openai", "OPENAI_BASE_URL"  # the endpoint that has variables of its own
TAKEN = frozenset({"anthropic", "inference", "simulated", "none"})  # names of other providers
LARGEST = 10**12  # a larger figure is a mistake

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VERSION = re.compile(r"v\d+\w*")  # a part of a path
_PASTED = ("/chat/completions", "/responses", "/embeddings", "/completions")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the file; limits are for each of its groups, and None is not given."""

    name: str
    base_url: str  # without a slash at its end, and with the version of the API
    models: tuple[str, ...]  # patterns
    key: str | None = None  # the variable that holds it
    prefix: str = ""
    bills: bool = True
    limit_class: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent_calls: int | None = None
    assumed_requests_per_minute: int | None = None
    key_value: str | None = field(default=None, repr=False)  # the key itself, which no log may hold
    address_variable: str = FILE  # of the environment: where its address is set


FIGURES = tuple(each.name for each in fields(Endpoint) if each.name.endswith(("_per_minute", "_calls")))
_KEYS = {each.name for each in fields(Endpoint)} - {"limit_class", "key_value", "address_variable"} | {
    "class"
}


def read(file: Path | None, usual_address: str | None, environ: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """The operator's endpoints, then the shipped ones that they do not replace, each with its key.

    `usual_address` is that of `openai`, if it is not its own. Raises `BadSetting` naming what is wrong.
    """
    shipped = resources.files("config").joinpath("providers.toml").read_text(encoding="utf-8")
    rows = {row.name: row for row in _rows(shipped)}
    rows[USUAL] = _with_variables(rows[USUAL], usual_address)
    own = {} if file is None else _read_file(file)
    return tuple(
        replace(row, key_value=environ.get(row.key, "").strip() or None) if row.key else row
        for row in (own | {name: row for name, row in rows.items() if name not in own}).values()
    )


def key_variables(file: str) -> frozenset[str]:
    """The variables of keys that an operator's file names; none where it cannot be read."""
    try:
        rows = _rows(Path(file).read_text(encoding="utf-8")) if file else []
    except (OSError, ValueError):
        return frozenset()
    return frozenset(row.key for row in rows if row.key)


def versioned(url: str) -> str:
    """An endpoint's address with the version of its API: `/v1` where it names none.

    Raises `ValueError` for one that cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url is {url!r}: give an address that starts with http:// or https://")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("base_url has a user, a query or a fragment: give it without")
    path = parts.path.rstrip("/")
    for pasted in _PASTED:
        path = path.removesuffix(pasted)
    if not any(_VERSION.fullmatch(part) for part in path.split("/")):
        path += "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


def _with_variables(usual: Endpoint, address: str | None) -> Endpoint:
    usual = replace(usual, address_variable=USUAL_ADDRESS)
    if not address:
        return usual
    try:
        return replace(usual, base_url=versioned(address), assumed_requests_per_minute=None)
    except ValueError as fault:
        raise BadSetting(USUAL_ADDRESS, address, f"another address ({fault})") from None


def _read_file(file: Path) -> dict[str, Endpoint]:
    try:
        rows = _rows(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        wanted = f"a file in the form of config/providers.toml ({fault})"
        raise BadSetting(FILE, str(file), wanted) from fault
    return {row.name: row for row in rows}


def _rows(text: str) -> list[Endpoint]:
    content = tomllib.loads(text)
    lines = content.get("endpoint")
    if not isinstance(lines, list) or content.keys() != {"endpoint"}:
        raise ValueError("it has [[endpoint]] tables and nothing else")
    rows = [_row(line, number) for number, line in enumerate(lines, start=1)]
    names = [row.name for row in rows]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"endpoint {twice!r} is there twice")
    return rows


def _row(line: Mapping[str, Any], number: int) -> Endpoint:
    name = line.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in TAKEN:
        raise ValueError(
            f"endpoint {number}: name is {name!r}: give lower-case letters, digits, - and _, and not"
            f" {', '.join(sorted(TAKEN))}"
        )
    try:
        return _checked(line)
    except ValueError as fault:
        raise ValueError(f"endpoint {name!r}: {fault}") from None


def _checked(line: Mapping[str, Any]) -> Endpoint:
    if unknown := sorted(line.keys() - _KEYS):
        raise ValueError(f"{unknown[0]!r} is not known: known are {', '.join(sorted(_KEYS))}")
    prefix, models, key = _text(line, "prefix"), line.get("models"), _text(line, "key") or None
    if not isinstance(models, list) or not models or not all(isinstance(one, str) and one for one in models):
        raise ValueError(f"models is {models!r}: give a list of names such as ['gpt-*']")
    if strange := next((one for one in models if not one.startswith(prefix)), None):
        raise ValueError(f"models has {strange!r}, which does not begin with the prefix {prefix!r}")
    if key is not None and not _VARIABLE.fullmatch(key):
        # What is there may be the key itself.
        raise ValueError("key is not the name of a variable: put the key into one, and its name here")
    if not isinstance(line.get("bills", True), bool):
        raise ValueError(f"bills is {line['bills']!r}: give true or false")  # noqa: TRY004 - of a file
    figures: dict[str, Any] = {figure: _figure(line, figure) for figure in FIGURES}
    return Endpoint(
        name=line["name"],
        base_url=versioned(_text(line, "base_url")),
        models=tuple(models),
        key=key,
        prefix=prefix,
        bills=line.get("bills", True),
        limit_class=_text(line, "class") or None,
        **figures,
    )


def _text(line: Mapping[str, Any], name: str) -> str:
    value = line.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}: give a text")  # noqa: TRY004 - of a file
    return value


def _figure(line: Mapping[str, Any], name: str) -> int | None:
    figure: int | None = line.get(name)
    if figure is not None and (type(figure) is not int or not 1 <= figure <= LARGEST):
        raise ValueError(f"{name} is {figure!r}: give a whole number from 1")
    return figure
