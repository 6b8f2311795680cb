"""What follows a call without a usable answer: one table decides, by who is to blame.

    blame                   what follows
    record, final           the record has ended
    record, retryable       asked again within 5 s, at the price of one of its tries; ended when none is left
    provider, an outage     asked again when the provider says, or a random time later; no try is used
    account                 given back for 5 s, its group held for a minute or as long as the refusal says;
                            no try is used
    configuration           given back for a second; no try is used. The job pauses once several calls agree;
                            amid calls that are answered it is the record's own failure

Answers that cannot be read cost money, so in an outage of them the job pauses too, once a probe agrees.

A failure that is not the record's own also holds its limit group: for as long as the refusal says, else
longer with each strike. A 429 for a call that left at once, whatever the pace, shows that the provider
refills its limit by the second: the group's calls are paced for an hour. A record that would wait for over
5 s is given back until then, and the slice goes on with others.
"""

from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, wait_random_exponential

from app.core.limits.evidence import Weight
from app.errors import ACCOUNT_PROBE, Blame, ProviderError, RateLimited

LONGEST_WAIT = 5.0  # seconds that a record is held while it waits
SECOND_LOOK = 1.0  # seconds until another call shows whether the address is wrong
RAMP_LIMIT = "ramp_limit_exceeded"  # the type of a refusal for a rate that rose too fast

# In seconds. Full jitter, from 0 to a bound that doubles, so that calls which failed together spread out.
RECORD_WAIT = wait_random_exponential(multiplier=0.5, max=5.0)
PROVIDER_WAIT = wait_random_exponential(multiplier=1.0, max=60.0)

_NO_CALLS = Retrying()  # tenacity only computes waits here: its attempt object around each call costs 20 µs


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Ask again in this process, in `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Give the record back, not to be claimed for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The record has failed for good."""


@dataclass(frozen=True, slots=True)
class Hold:
    """No call of the limit group leaves for a while; then one probe at a time."""

    reason: str
    seconds: float  # 0: longer with each strike
    every: float = 0.0  # seconds between two probes; 0: as `seconds`


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the record, and of its limit group."""

    then: AskAgain | GiveBack | Ended
    uses_try: bool = False  # it is the record's own failure
    hold: Hold | None = None
    slow_down: bool = False  # the group goes on at half its rate
    too_fast: bool = False  # a 429: if the call left at once, the group's calls are paced for an hour
    pauses: bool = False  # the job, as further calls would end the same way


def decide(
    error: ProviderError,
    *,
    tries_left: int,
    tries_used: int,
    refusals: int,
    outage: bool = False,
    weight: Weight = Weight.OPEN,
) -> Decision:
    """What follows `error`.

    `outage`: so many calls of the group fail that the provider is to blame, whatever the error.
    `tries_left` and `tries_used` count the record's own tries (BATCH_RECORD_RETRY_COUNT) before this
    failure, `refusals` the refusals in a row before this one: 0 for the first. `weight` is what the group's
    last calls say of this failure.
    """
    if error.blame is Blame.ACCOUNT:
        seconds = error.retry_after or ACCOUNT_PROBE
        # The hold keeps the record's calls back; once it ends, as by another key, the record should be there.
        return Decision(GiveBack(LONGEST_WAIT), hold=Hold(f"account: {error.type}", seconds, every=seconds))
    if error.blame is Blame.CONFIGURATION and weight is not Weight.ODD:
        hold = Hold(f"configuration: {error.type}", SECOND_LOOK)
        return Decision(GiveBack(SECOND_LOOK), hold=hold, pauses=weight is Weight.SETTLED)
    if error.blame is Blame.PROVIDER or outage:
        return _wait_for_provider(error, refusals, outage=outage, pauses=weight is Weight.SETTLED)
    if not error.retryable or tries_left < 1:
        return Decision(Ended(), uses_try=True)
    return Decision(AskAgain(_seconds(RECORD_WAIT, tries_used)), uses_try=True)


def _wait_for_provider(error: ProviderError, refusals: int, *, outage: bool, pauses: bool) -> Decision:
    seconds = error.retry_after or _seconds(PROVIDER_WAIT, refusals)
    then = GiveBack(seconds) if seconds > LONGEST_WAIT or pauses else AskAgain(seconds)
    ramp, too_fast = error.type == RAMP_LIMIT, isinstance(error, RateLimited)
    if ramp and not error.retry_after:
        return Decision(then, slow_down=True, too_fast=too_fast)
    reason = f"provider: outage ({error.type})" if outage else f"provider: {error.type}"
    hold = Hold(reason, error.retry_after or 0.0)
    return Decision(then, hold=hold, slow_down=ramp, too_fast=too_fast, pauses=pauses)


def _seconds(wait: wait_random_exponential, doublings: int) -> float:
    state = RetryCallState(_NO_CALLS, fn=None, args=(), kwargs={})
    state.attempt_number = doublings + 1
    return wait(state)
