"""What a quote rests on and what it leaves out, in sentences."""

from app.core.limits.allowances import ASSUMED, Allowance, Held
from app.core.money.calibration import LIKELY_SHARE, SAME_REQUEST, SHORT_ANSWER, WITHOUT_TOKENS, Calibration
from app.ingest.draft import Defaults
from app.ingest.tally import Tally
from app.providers import registry


def basis(calibration: Calibration, model: str) -> str:
    """What the figures rest on, in a sentence."""
    if calibration is WITHOUT_TOKENS:
        return f"items of {model} have no tokens, and nobody bills them"
    if calibration.job is None:
        return (
            f"not calibrated, for there are no answers of {model} yet: tokens are guessed from bytes,"
            f" and answers may be {SHORT_ANSWER} tokens long, likely {LIKELY_SHARE:.0%} of max_tokens,"
            " at most max_tokens"
        )
    taken = f"calibrated by {calibration.answers:,} earlier answers"
    if calibration.same == SAME_REQUEST:
        return f"{taken} to the same request"
    return f"{taken} of the same model to something else: these may be up to max_tokens long"


def warnings(
    defaults: Defaults,
    tally: Tally,
    calibration: Calibration,
    *,
    priced: bool,
    allowance: Allowance,
    held: Held | None,
) -> list[str]:
    """What the figures do not hold."""
    found = []
    if not priced:
        found.append(f"{defaults.model} has no price in config/prices.toml: nobody can say what it costs")
    if tally.of_other_models:
        found.append(
            f"{tally.of_other_models:,} records name another model: they are reckoned as {defaults.model}"
        )
    if tally.later_turns and calibration.same != SAME_REQUEST:
        found.append(
            f"{tally.later_turns:,} records go on with a conversation: what their earlier turns add to the"
            " input is not counted"
        )
    if allowance.sources.get("requests") == ASSUMED:
        found.append(
            f"the limits of {registry.limit_group(defaults.model)} are not known before its first answers:"
            f" {allowance.limits.requests} requests a minute are assumed"
        )
    if held is not None:
        found.append(f"the limit group's calls are held now ({held.reason}): the time counts from their end")
    return found
