"""Variables of the environment: the values that each kind allows, with all invalid ones reported at once.

A dataclass of settings declares each as the default of a field, where `load` finds them.
"""

import hashlib
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

T = TypeVar("T")
LONG_KEY = 32  # characters; 16 random bytes in hexadecimal
VARIED = 8  # different ones; 32 random hexadecimal digits have fewer less than once in ten million times
HIDDEN = "(not shown)"
HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
DEFAULT_PORTS = {"http": "80", "https": "443"}
ORIGIN = re.compile(
    rf"(?P<origin>(?P<scheme>https?)://(?:{HOST.pattern}|\[[0-9a-f:.]+\]))(?::(?P<port>[0-9]{{1,5}}))?"
)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
# Before the @ of a URL, with a scheme or without, and among its parameters.
PASSWORD = re.compile(r"(?<=:)(?!//).+(?=@)|(?<=password=)[^&]+")


class BadSetting(ValueError):
    """A variable of the environment is invalid.

    The error is not in `app/errors.py`, because this package imports nothing of the application.
    """

    def __init__(self, name: str, value: str, wanted: str) -> None:
        super().__init__(f"{name}={PASSWORD.sub('***', value)!r} cannot be used: give {wanted}")


class BadSettings(BadSetting):
    """Several variables are invalid: one line for each."""

    def __init__(self, faults: Sequence[BadSetting]) -> None:
        lines = "\n  ".join(map(str, faults))
        several = f"{len(faults)} settings cannot be used:\n  " if len(faults) > 1 else ""
        ValueError.__init__(self, several + lines)


@dataclass(frozen=True, slots=True)
class Variable:
    """`parse` raises `ValueError` for an invalid value, whose valid ones `wanted` describes, or `BadSetting`
    where a part of it is invalid, or must not be shown.
    """

    name: str
    default: str  # as written in the environment; empty: none
    parse: Callable[[str], Any]
    wanted: str


def names(declared: type) -> frozenset[str]:
    """The variables that a dataclass of settings declares."""
    variables = (each.metadata.get("variable") for each in fields(declared))
    return frozenset(variable.name for variable in variables if variable is not None)


def load(declared: type, environ: Mapping[str, str]) -> tuple[dict[str, Any], list[BadSetting]]:
    """The values by field, and the invalid ones; an empty value counts as unset, as in an .env file."""
    values, faults = {}, []
    for each in fields(declared):
        if "variable" not in each.metadata:
            continue  # it follows from others
        variable: Variable = each.metadata["variable"]
        value = ""
        try:
            value = environ.get(variable.name, "").strip()
            values[each.name] = variable.parse(value or variable.default)
        except BadSetting as fault:
            values[each.name] = variable.parse(variable.default)
            faults.append(fault)
        except ValueError:
            values[each.name] = variable.parse(variable.default)
            faults.append(BadSetting(variable.name, value, variable.wanted))
    return values, faults


def text(name: str, default: str = "") -> str:
    return _declare(name, default, str)


def optional_text(name: str) -> str | None:
    return _declare(name, "", lambda value: value or None)


def path(name: str, default: str) -> Path:
    return _declare(name, default, lambda value: Path(value).resolve())


def optional_file(name: str) -> Path | None:
    return _declare(name, "", lambda value: Path(value).resolve() if value else None)


def whole(name: str, default: int, low: int, high: int) -> int:
    return _declare(name, str(default), _between(low, high), f"a whole number from {low} to {high}")


def optional_whole(name: str, low: int, high: int) -> int | None:
    number = _between(low, high)
    wanted = f"a whole number from {low} to {high}"
    return _declare(name, "", lambda value: number(value) if value else None, wanted)


def dollars(name: str) -> Decimal | None:
    """Dollars per 1,000 tokens, to a whole number of pico-dollars per token."""
    return _declare(name, "", _dollars, "dollars, such as 0.003: 0 to 1,000 with up to nine decimal places")


def amount(name: str, default: str) -> Decimal:
    """Dollars, in all."""
    return _declare(name, default, _amount, "dollars, such as 2.50: 0 to 1,000,000")


def flag(name: str, *, default: bool) -> bool:
    return _declare(name, str(default), _flag, "true or false")


def one_of(name: str, allowed: Sequence[str], default: str = "") -> str:
    known = {choice.lower(): choice for choice in (*allowed, default)}

    def parse(value: str) -> str:
        if value.lower() not in known:
            raise ValueError(value)
        return known[value.lower()]

    return _declare(name, default, parse, "one of " + ", ".join(allowed))


def claude(name: str, default: str) -> str:
    def parse(value: str) -> str:
        if not value.startswith("claude"):
            raise ValueError(value)
        return value

    return _declare(name, default, parse, "a model of Anthropic, whose name starts with 'claude'")


def url(name: str, schemes: Sequence[str]) -> str:
    return _declare(name, "", _with_scheme(schemes), _an_address(schemes))


def optional_url(name: str, schemes: Sequence[str]) -> str | None:
    address = _with_scheme(schemes)
    return _declare(name, "", lambda value: address(value) or None, _an_address(schemes))


def api_root(name: str) -> str | None:
    """An HTTP address without the path of the API, which many write behind it.

    A user and a password in it would be sent in the place of the key.
    """
    address = _with_scheme(("http", "https"))

    def parse(value: str) -> str | None:
        parts = urlsplit(address(value))
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(value)
        root = value.rstrip("/")
        for ending in ("/messages", "/v1"):
            root = root.removesuffix(ending).rstrip("/")
        return root or None

    wanted = f"{_an_address(('http', 'https'))}, without user, password, query and fragment"
    return _declare(name, "", parse, wanted)


def broker(name: str) -> str:
    schemes = ("redis", "rediss", "amqp", "amqps")

    def parse(value: str) -> str:
        _refuse_punctuation(name, value)
        return _with_scheme(schemes)(value)

    return _declare(name, "", parse, _an_address(schemes))


def socks_proxies(environ: Mapping[str, str]) -> list[BadSetting]:
    """Proxies of the environment that would be spoken to as if they were HTTP proxies."""
    return [
        BadSetting(name, value, "the address of an HTTP proxy: SOCKS is not supported")
        for name, value in environ.items()
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy") and value.lower().startswith("socks")
    ]


def redis(name: str, default: str) -> str:
    def parse(value: str) -> str:
        _refuse_punctuation(name, value)
        number = urlsplit(_with_scheme(("redis", "rediss"))(value)).path.strip("/")
        if number and not number.isdecimal():
            raise ValueError(number)
        return value

    wanted = "redis://host:port/0 or rediss://host:port/0, its path a database number"
    return _declare(name, default, parse, wanted)


def store(name: str) -> str:
    """`file://` with an absolute path, or `s3://` with a bucket."""
    return _declare(name, "", _store, "file:///a/folder or s3://bucket/prefix")


def hashes(name: str) -> frozenset[bytes]:
    """SHA-256 of each of the comma-separated keys, which must be hard to guess."""

    def parse(value: str) -> frozenset[bytes]:
        keys = _items(value)
        for place, key in enumerate(keys, 1):
            if _is_weak(key):
                wanted = (
                    f"keys of at least {LONG_KEY} characters, {VARIED} of them different, such as from"
                    f" `openssl rand -hex 32`; number {place} of {len(keys)} could be guessed"
                )
                raise BadSetting(name, HIDDEN, wanted)
        return frozenset(hashlib.sha256(key.encode()).digest() for key in keys)

    return _declare(name, "", parse)


def secret_texts(name: str) -> tuple[str, ...]:
    """Comma-separated texts that must be hard to guess, as they are."""

    def parse(value: str) -> tuple[str, ...]:
        if any(map(_is_weak, _items(value))):
            wanted = (
                f"texts of at least {LONG_KEY} characters that cannot be guessed, such as from"
                " `openssl rand -hex 32`"
            )
            raise BadSetting(name, HIDDEN, wanted)
        return tuple(_items(value))

    return _declare(name, "", parse)


def origins(name: str) -> tuple[str, ...]:
    """Origins of pages as browsers send them, in lower case and without a default port."""

    def parse(value: str) -> tuple[str, ...]:
        for item in _items(value):
            if _origin(item) is None:
                raise BadSetting(
                    name,
                    item,
                    "whole origins separated by commas, each for itself and without wildcards, such as"
                    " https://app.example.com or http://localhost:3000",
                )
        return tuple(origin for item in _items(value) if (origin := _origin(item)))

    return _declare(name, "", parse)


def hosts(name: str) -> frozenset[str]:
    """Names of hosts, in lower case."""

    def parse(value: str) -> frozenset[str]:
        for item in _items(value):
            if not HOST.fullmatch(item.lower()):
                raise BadSetting(name, item, "names of hosts separated by commas, without ports or wildcards")
        return frozenset(item.lower() for item in _items(value))

    return _declare(name, "", parse)


def named(name: str) -> frozenset[str]:
    """Names of variables."""

    def parse(value: str) -> frozenset[str]:
        for item in _items(value):
            if not VARIABLE.fullmatch(item):
                # What is there may be the key itself.
                wanted = "names of variables separated by commas, such as ANTHROPIC_API_KEY"
                raise BadSetting(name, HIDDEN, wanted)
        return frozenset(_items(value))

    return _declare(name, "", parse)


def networks(name: str) -> tuple[Network, ...]:
    wanted = "addresses or networks separated by commas, such as 10.0.0.2 or 10.1.0.0/16"
    return _declare(name, "", lambda value: tuple(map(ipaddress.ip_network, _items(value))), wanted)


def _declare(name: str, default: str, parse: Callable[[str], T], wanted: str = "any text") -> T:
    """A field of a dataclass, with the type of its future value."""
    return cast(T, field(metadata={"variable": Variable(name, default, parse, wanted)}))


def _between(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not low <= int(value) <= high:
            raise ValueError(value)
        return int(value)

    return parse


def _dollars(value: str) -> Decimal | None:
    if not value:
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise ValueError(value) from None
    if not amount.is_finite() or not 0 <= amount <= 1000 or amount != round(amount, 9):
        raise ValueError(value)
    return amount


def _amount(value: str) -> Decimal:
    try:
        found = Decimal(value)
    except InvalidOperation:
        raise ValueError(value) from None
    if not found.is_finite() or not 0 <= found <= 1_000_000:
        raise ValueError(value)
    return found


def _flag(value: str) -> bool:
    if value.lower() not in (*TRUE, *FALSE):
        raise ValueError(value)
    return value.lower() in TRUE


def _an_address(schemes: Sequence[str]) -> str:
    return "an address that starts with " + " or ".join(f"{scheme}://" for scheme in schemes)


def _with_scheme(schemes: Sequence[str]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value and urlsplit(value).scheme.split("+")[0] not in schemes:
            raise ValueError(value)
        return value

    return parse


def _refuse_punctuation(name: str, value: str) -> None:
    """A password with such a sign ends in its middle, and what follows is taken for a path."""
    parts = urlsplit(value)
    if parts.fragment or "@" in parts.path + parts.query:
        raise BadSetting(name, value, "an address in whose password # is written %23, / %2F, ? %3F and @ %40")


def _store(value: str) -> str:
    parts = urlsplit(_with_scheme(("file", "s3"))(value))
    named = parts.netloc if parts.scheme == "s3" else not parts.netloc and parts.path.startswith("/")
    if value and (not named or parts.query or parts.fragment):
        raise ValueError(value)
    return value


def _items(value: str) -> list[str]:
    """The comma-separated values."""
    return [item.strip() for item in value.split(",") if item.strip()]


def _origin(value: str) -> str | None:
    """The origin as a browser sends it; None for what is none."""
    found = ORIGIN.fullmatch(value.lower().rstrip("/"))
    if found is None or int(found["port"] or 0) > 65_535:
        return None
    return found["origin"] if found["port"] in (None, DEFAULT_PORTS[found["scheme"]]) else found[0]


def _is_weak(key: str) -> bool:
    """Too short, or too regular: few different characters, or few different steps between neighbours."""
    steps = {ord(later) - ord(earlier) for earlier, later in pairwise(key)}
    return len(key) < LONG_KEY or len(set(key)) < VARIED or len(steps) < VARIED
