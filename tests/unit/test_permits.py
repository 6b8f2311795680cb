"""A record's permits, while the limit of its group changes."""

import asyncio
from types import SimpleNamespace

import pytest

from app.core.limits.limiter import CallTerms, Grant, Settlement
from app.core.worker.permits import Permit, Permits
from app.errors import RequestRejected
from app.providers.client import RateLimits

BYTES = 20_000


def test_a_record_that_waits_when_the_limit_falls_below_its_size_ends():
    # Given a record of 8,000 tokens that waits under a limit of 10,000 a minute
    allowed = [10_000]
    asked = []

    async def new_start(terms: CallTerms, *, waited: bool) -> Grant:
        asked.append(terms.limits.input_tokens)
        if len(asked) == 3:
            allowed[0] = 1_000  # an operator lowers it
        return Grant(0, wait=0.001, reason="input_tokens", waits=True)

    def terms(job, group=None) -> CallTerms:
        return CallTerms("simulated", 1, RateLimits(input_tokens=allowed[0]), request_bytes=100)

    async def return_start(terms: CallTerms, grant: Grant) -> None:
        returned.append(grant.count)

    returned: list[int] = []
    settlement = Settlement()
    services = SimpleNamespace(
        terms=terms,
        new_start=new_start,
        return_start=return_start,
        runs=lambda job_id: True,
        group_limits=SimpleNamespace(settlement=lambda _: settlement),
    )
    permit = Permit(
        "simulated", 0.0, probe=False, input_tokens=40, output_tokens=1, per_byte=0.4, grant=Grant(1)
    )
    permits = Permits(
        services,
        SimpleNamespace(job_id=1, group="simulated", model="simulated"),
        SimpleNamespace(request_bytes=BYTES, keep=None),
        permit,
    )

    # Then it does not wait for a permit that can never come
    with pytest.raises(RequestRejected, match=r"8,000 input tokens.* allows 1,000 a minute") as refused:
        asyncio.run(asyncio.wait_for(permits.wait_for_start("simulated", 100, used=False), timeout=10))
    assert refused.value.type == "over_limit"
    assert asked == [10_000] * 3
    assert returned == [1]
