"""The basis of a quote and the warnings about what it leaves out, in sentences."""

from app.core.limits.allowances import ASSUMED, Allowance, Held
from app.core.money import pricing
from app.core.money.calibration import LIKELY_SHARE, SAME_REQUEST, SHORT_ANSWER, WITHOUT_TOKENS, Calibration
from app.ingest.draft import Defaults
from app.ingest.tally import Tally
from app.providers import registry
from config import settings


def basis(calibration: Calibration, model: str) -> str:
    """What the figures are based on, in a sentence."""
    if calibration is WITHOUT_TOKENS:
        return f"items of {model} have no tokens and are not billed"
    if calibration.job is None:
        return (
            f"not calibrated, because there are no answers of {model} yet: tokens are estimated from bytes,"
            f" and answers may be {SHORT_ANSWER} tokens long, likely {LIKELY_SHARE:.0%} of max_tokens,"
            " at most max_tokens"
        )
    calibrated = f"calibrated by {_count(calibration.answers, 'earlier answer')}"
    if calibration.same == SAME_REQUEST:
        return f"{calibrated} to requests with the same system, template, schema and params"
    return f"{calibrated} of the same model to other requests: answers may be up to max_tokens long"


def warnings(
    defaults: Defaults,
    tally: Tally,
    calibration: Calibration,
    *,
    priced: bool,
    allowance: Allowance,
    held: Held | None,
) -> list[str]:
    """What the figures leave out."""
    sentences = []
    lacks = registry.of(defaults.model).lacks(settings.current())
    if lacks is not None:
        sentences.append(f"before it can run, {defaults.model} {lacks.sentence}")
    if not priced:
        sentences.append(pricing.unknown_cost(defaults.model))
    if tally.of_other_models:
        sentences.append(
            f"{_count(tally.of_other_models, 'record')} of another model: estimated as {defaults.model}"
        )
    if tally.later_turns and calibration.same != SAME_REQUEST:
        sentences.append(
            f"{_count(tally.later_turns, 'later turn')} of conversations: the input added by earlier turns is"
            " not counted"
        )
    if allowance.sources.get("requests") == ASSUMED:
        sentences.append(
            f"the limits of {registry.limit_group(defaults.model)} are unknown until its first answers:"
            f" {allowance.limits.requests} requests a minute are assumed"
        )
    if held is not None:
        sentences.append(f"the limit group is held now ({held.reason}): time counts from the end of the hold")
    return sentences


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
