"""What follows a call that brought no answer: by whose matter it is, one table decides.

    blame                   what follows
    record, final           the record has ended
    record, may pass        asked again within 5 s, at the price of one of its tries; ended when none is left
    provider, an outage     asked again when the provider says, or a random time later; no try is used
    account                 given back for a minute, or as long as the refusal says; no try is used

A wait of over 5 s is a named time: the record is given back with it, and the slice goes on with others.
"""

import random
from dataclasses import dataclass

from app.errors import Blame, ProviderError

LONGEST_WAIT = 5.0  # seconds that a record is held while it waits
RECORD_BASE, RECORD_CAP = 0.5, 5.0  # seconds; full jitter, doubling
PROVIDER_BASE, PROVIDER_CAP = 1.0, 60.0
ACCOUNT_PAUSE = 60.0  # seconds between two looks at a refused account


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Ask again in `seconds`; `uses_try` when the record pays for it with one of its tries."""

    seconds: float
    uses_try: bool


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Give the record back, not to be claimed for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The record has failed for good."""


Decision = AskAgain | GiveBack | Ended


def decide(
    error: ProviderError,
    tries_left: int,
    refusals: int,
    *,
    tries_used: int = 0,
    outage: bool = False,
    chance: random.Random | None = None,
) -> Decision:
    """What follows `error`.

    `outage`: so many calls of the group fail that this is the provider's matter, whatever the error says.

    `tries_left` and `tries_used` count the record's own tries (BATCH_RECORD_RETRY_COUNT) before this
    failure, `refusals` the refusals in a row before this one: 0 for the first.
    """
    chance = chance or random.Random()  # noqa: S311  jitter, no secret
    if error.blame is Blame.ACCOUNT:
        return GiveBack(error.retry_after or ACCOUNT_PAUSE)
    if error.blame is Blame.PROVIDER or (outage and error.retryable):
        return _wait(error.retry_after or _jitter(chance, PROVIDER_BASE, PROVIDER_CAP, refusals))
    if not error.retryable or tries_left < 1:
        return Ended()
    return AskAgain(_jitter(chance, RECORD_BASE, RECORD_CAP, tries_used), uses_try=True)


def _wait(seconds: float) -> Decision:
    return GiveBack(seconds) if seconds > LONGEST_WAIT else AskAgain(seconds, uses_try=False)


def _jitter(chance: random.Random, base: float, cap: float, doublings: int) -> float:
    """Full jitter: anything from 0 to `base` doubled so often, so that those who failed together part."""
    return chance.uniform(0, min(cap, base * 2.0 ** min(doublings, 32)))
