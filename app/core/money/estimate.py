"""Tokens and cost of a job that has not run yet, for each case: low, likely, high."""

from collections.abc import Mapping
from typing import Any

from app.core.money.calibration import LIKELY_SHARE, SAME_REQUEST, SHORT_ANSWER, Calibration, Spread
from app.core.money.ledger import surcharges
from app.core.money.pricing import Price
from app.ingest.tally import Tally
from app.providers.client import Usage

CASES = ("low", "likely", "high")


def input_tokens(calibration: Calibration, tally: Tally) -> dict[str, int]:
    """The input tokens of all records together."""
    return _by_case(calibration.off, calibration.line.tokens(tally.content_bytes, tally.count))


def _by_case(spread: Spread, times: float) -> dict[str, int]:
    return {case: round(getattr(spread, case) * times) for case in CASES}


def output(calibration: Calibration, tally: Tally) -> dict[str, int]:
    """The output tokens: never over `max_tokens`, and up to that where the longest answers are not known."""
    most = tally.max_output_tokens
    short = min(SHORT_ANSWER * tally.count, most)
    if calibration.output_tokens is None:
        return {"low": short, "likely": max(short, round(most * LIKELY_SHARE)), "high": most}
    counts = _by_case(calibration.output_tokens, tally.count)
    tokens = {case: min(count, most) for case, count in counts.items()}
    if calibration.same != SAME_REQUEST:
        tokens["low"] = min(short, tokens["low"])
    return tokens if calibration.longest_known else tokens | {"high": most}


def cost(
    price: Price,
    params: Mapping[str, Any],
    tally: Tally,
    calibration: Calibration,
    tokens_out: Mapping[str, int],
) -> dict[str, int]:
    """The cost in pico-dollars, by size class, as long prompts may cost more per token."""
    extra, mix = surcharges(dict(params)), calibration.mix
    searches = {"web_search_requests": round(tally.count * mix.searches)}
    total = dict.fromkeys(CASES, price.cost(Usage(server_tool_uses=searches)))
    for case in CASES:
        for kind in tally.sizes.values():
            tokens = getattr(calibration.off, case) * calibration.line.tokens(kind.content_bytes, kind.count)
            usage = Usage(
                output_tokens=round(tokens_out[case] * kind.count / tally.count),
                **{name: round(tokens * share) for name, share in mix.shares.items()},
            )
            total[case] += price.cost(usage, **extra, prompt=round(tokens / kind.count))
    return total
