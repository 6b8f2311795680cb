"""What is wrong with an answer: checked against its schema without holding up the loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

from app.core.requests.schemas import AnswerSchema, Verdict
from app.errors import AnswerPaused, AnswerRefused, AnswerTruncated, ProviderError, SchemaMismatch
from app.providers.client import CUT, MAX_TOKENS, PAUSE, REFUSAL, Reply

HEAVY_PATIENCE = 60.0  # seconds that an answer waits for a check in a process of its own
HEAVY_AT_ONCE = 2  # such processes
ENDS_EARLY = CUT | {REFUSAL}  # of such answers nothing is mended: what is missing cannot be known

# Threads that only wait for such a process: few, and not those that renew the lease.
_heavy = ThreadPoolExecutor(HEAVY_AT_ONCE, thread_name_prefix="heavy-checks")

# By tenant, while one of its answers is checked or waits: a tenant queues no more than can run, so that the
# next check is another tenant's if there is one.
_shares: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Checked:
    """What an answer is worth: with a `fault` it is none."""

    fault: ProviderError | None = None
    value: bytes | None = None  # its JSON, where it fits a schema
    is_mended: bool = False


FINE = Checked()


async def check(schema: AnswerSchema | None, reply: Reply, tenant_id: int, max_tokens: int) -> Checked:
    """What is wrong with the answer, or what it is as JSON; without a schema it fits as it is.

    Without a schema an answer that was cut at `max_tokens` or refused is an answer: its `stop_reason` says
    so. One that is still paused here is not. A heavy check waits for its turn among those of its tenant, and
    tenants take turns.
    """
    if reply.stop_reason == PAUSE:
        return Checked(AnswerPaused("The provider paused its answer again and again: retry the record."))
    if schema is None:
        return FINE
    mends = reply.stop_reason not in ENDS_EARLY
    if schema.is_light(reply.text):
        found = schema.check(reply.text, mends=mends)
    else:
        found = await _check_in_subprocess(schema, reply.text, tenant_id, mends=mends)
    if found.fault is not None:
        return Checked(_misfit(found.fault, reply, max_tokens))
    assert found.value is not None
    return Checked(value=found.value.encode("utf-8", "surrogatepass"), is_mended=found.is_mended)


def _misfit(found: str, reply: Reply, max_tokens: int) -> ProviderError:
    """Why an answer does not match its schema: the same request would only be refused, or cut, again."""
    if reply.stop_reason == REFUSAL:
        why = f": {reply.stop_details}" if reply.stop_details else ""
        return AnswerRefused(f"The model refused to answer{why}")
    if reply.stop_reason not in CUT:
        return SchemaMismatch(found)
    if reply.stop_reason != MAX_TOKENS:
        return AnswerTruncated(
            "The answer was cut, as the model's context window was full, and does not match the schema: make"
            " the record shorter, or name a model with a larger context"
        )
    return AnswerTruncated(
        f"The answer was cut at max_tokens {max_tokens} and does not match the schema: retry the job with a"
        " larger max_tokens, or ask for less"
    )


async def _check_in_subprocess(schema: AnswerSchema, text: str, tenant_id: int, *, mends: bool) -> Verdict:
    share = _shares.setdefault(tenant_id, asyncio.Semaphore(HEAVY_AT_ONCE))
    try:
        async with asyncio.timeout(HEAVY_PATIENCE), share:
            check = partial(schema.check_in_subprocess, text, mends=mends)
            return await asyncio.get_running_loop().run_in_executor(_heavy, check)
    except TimeoutError:
        return Verdict(
            fault=f"The answer was not checked within {HEAVY_PATIENCE:g} s: too many slow checks at once"
        )
