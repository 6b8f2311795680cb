"""Why no call of a limit group leaves, in one sentence: what was said, by which address, what to mend."""

import datetime as dt
import json
from dataclasses import asdict, dataclass
from typing import Any

from app.core.json_text import timestamp
from app.core.limits.limiter import Hold
from app.errors import AccountRefused, BadAnswer, Misdirected, ProviderError, Unreachable
from app.providers import refusals
from app.providers.registry import Package, Provider
from config.endpoints import FILE
from config.settings import current

LONGEST = 300  # characters of what a provider said


@dataclass(frozen=True, slots=True)
class Obstacle:
    """`message` is the sentence; the others are its facts, for programs."""

    message: str
    address: str | None = None  # that was asked, without user, password and query
    variable: str | None = None  # of the environment, to be mended; None: it passes by itself

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Obstacle | None":
        """The one that was stored; None where nothing was, as by the release before this one."""
        return cls(**json.loads(text)) if text else None


def of(error: ProviderError, provider: Provider) -> Obstacle:
    """What a call to `provider` that ended with `error` says of the calls to come."""
    where, said = error.address or "the provider", one_line(error.message)
    key, address = provider.key_variable, provider.address_variable
    if isinstance(error, AccountRefused):
        return Obstacle(_refused(error, where, said, key), error.address, key)
    if isinstance(error, Unreachable):
        what = f"{where} cannot be reached ({said}): check {address}, and this machine's network and proxy"
        return Obstacle(what, error.address, address)
    if isinstance(error, Misdirected):
        what = f"{where} is not the address of the provider's API ({said}): correct {address}"
        return Obstacle(what, error.address, address)
    if isinstance(error, BadAnswer):
        what = f"{where} gives no answers that can be used ({said}): check {address}, and what answers there"
        return Obstacle(what, error.address, address)
    return Obstacle(f"{where} does not serve calls now ({said}): it is tried again by itself", error.address)


def out(hold: Hold) -> dict[str, Any] | None:
    """A hold for its readers, as JSON; None where nobody said why in a sentence.

    `next_try_at` is None where the next try is due.
    """
    found = Obstacle.from_json(hold.detail)
    if found is None:
        return None
    next_try = timestamp(dt.datetime.fromtimestamp(hold.until, dt.UTC)) if hold.seconds > 0 else None
    return asdict(found) | {"next_try_at": next_try}


def is_mendable(hold: Hold | None) -> bool:
    """Whether a group is held for what a setting may have mended meanwhile."""
    found = None if hold is None else Obstacle.from_json(hold.detail)
    return found is not None and found.variable is not None


def unusable(name: str, provider: Provider | None) -> Obstacle:
    """A worker lacks what it needs to call the provider of this name, or the provider itself."""
    if provider is None:
        return Obstacle(f"no endpoint of a worker is named {name!r}: see {FILE}", None, FILE)
    lacks = provider.lacks(current())
    if isinstance(lacks, Package):
        what = f"a worker lacks a package ({lacks.state}): {lacks.remedy}, and restart it"
        return Obstacle(what, None, lacks.variable)
    variable = provider.key_variable
    return Obstacle(f"a worker has no {variable}: set it for every worker and restart it", None, variable)


def one_line(text: str) -> str:
    """What somebody else said: on one line, of limited length, and nothing that moves a terminal's cursor."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * LONGEST])
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _refused(error: AccountRefused, where: str, said: str, key: str | None) -> str:
    if refusals.lacks_money(error):
        account = f"account of {key}" if key else "account"
        remedy = f"add credit or raise the spend limit of the {account}, or set another key"
    else:
        variable = key or f"a variable, and its name into {FILE}"
        remedy = f"put a working key into {variable}, and start the workers, or your command, again"
    return f"{where} refuses the account ({error.type}: {said}): {remedy}"
