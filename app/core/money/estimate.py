"""Tokens and cost of a job that was not asked yet, for each case: low, likely, high."""

from collections.abc import Mapping
from typing import Any

from app.core.money.calibration import LIKELY_SHARE, SAME_REQUEST, SHORT_ANSWER, Calibration, Spread
from app.core.money.ledger import surcharges
from app.core.money.pricing import Price
from app.ingest.tally import Tally
from app.providers.client import Usage

CASES = ("low", "likely", "high")


def input_tokens(calibration: Calibration, tally: Tally) -> dict[str, int]:
    """Of all records together."""
    return _by_case(calibration.off, calibration.line.tokens(tally.content_bytes, tally.count))


def _by_case(spread: Spread, times: float) -> dict[str, int]:
    return {case: round(getattr(spread, case) * times) for case in CASES}


def output(calibration: Calibration, tally: Tally) -> dict[str, int]:
    """Never over `max_tokens`; up to that where nobody knows how long the longest answers are."""
    most = tally.max_output_tokens
    short = min(SHORT_ANSWER * tally.count, most)
    if calibration.output_tokens is None:
        return {"low": short, "likely": max(short, round(most * LIKELY_SHARE)), "high": most}
    counts = _by_case(calibration.output_tokens, tally.count)
    found = {case: min(count, most) for case, count in counts.items()}
    if calibration.same != SAME_REQUEST:
        found["low"] = min(short, found["low"])
    return found if calibration.longest_known else found | {"high": most}


def cost(
    price: Price,
    params: Mapping[str, Any],
    tally: Tally,
    calibration: Calibration,
    tokens_out: Mapping[str, int],
) -> dict[str, int]:
    """Pico-dollars: by classes of sizes, for long prompts may be dearer."""
    extra, mix = surcharges(dict(params)), calibration.mix
    searches = {"web_search_requests": round(tally.count * mix.searches)}
    found = dict.fromkeys(CASES, price.cost(Usage(server_tool_uses=searches)))
    for case in CASES:
        for kind in tally.sizes.values():
            tokens = getattr(calibration.off, case) * calibration.line.tokens(kind.content_bytes, kind.count)
            usage = Usage(
                output_tokens=round(tokens_out[case] * kind.count / tally.count),
                **{name: round(tokens * share) for name, share in mix.shares.items()},
            )
            found[case] += price.cost(usage, **extra, prompt=round(tokens / kind.count))
    return found
