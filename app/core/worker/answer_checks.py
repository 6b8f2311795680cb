"""What is wrong with an answer: checked against its schema without holding up the loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

from app.core.requests.schemas import AnswerSchema
from app.errors import AnswerPaused, AnswerRefused, AnswerTruncated, ProviderError, SchemaMismatch
from app.providers.client import CUT, MAX_TOKENS, PAUSE, REFUSAL, Reply

HEAVY_PATIENCE = 60.0  # seconds that an answer waits for a check in a process of its own
HEAVY_AT_ONCE = 2  # such processes

# Threads that only wait for such a process: few, and not those that renew the lease.
_heavy = ThreadPoolExecutor(HEAVY_AT_ONCE, thread_name_prefix="heavy-checks")

# By tenant, while one of its answers is checked or waits: a tenant queues no more than can run, so that the
# next check is another tenant's if there is one.
_shares: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()


async def fault(
    schema: AnswerSchema | None, reply: Reply, tenant_id: int, max_tokens: int
) -> ProviderError | None:
    """What is wrong with the answer; None when it fits, or no schema was given.

    Without a schema an answer that was cut at `max_tokens` or refused is an answer: its `stop_reason` says
    so. One that is still paused here is not. A heavy check waits for its turn among those of its tenant, and
    tenants take turns.
    """
    if reply.stop_reason == PAUSE:
        return AnswerPaused("The provider paused its answer again and again: retry the record.")
    if schema is None:
        return None
    if schema.is_light(reply.text):
        found = schema.fault(reply.text)
    else:
        found = await _fault_in_subprocess(schema, reply.text, tenant_id)
    return None if found is None else _misfit(found, reply, max_tokens)


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


async def _fault_in_subprocess(schema: AnswerSchema, text: str, tenant_id: int) -> str | None:
    share = _shares.setdefault(tenant_id, asyncio.Semaphore(HEAVY_AT_ONCE))
    try:
        async with asyncio.timeout(HEAVY_PATIENCE), share:
            return await asyncio.get_running_loop().run_in_executor(_heavy, schema.fault_in_subprocess, text)
    except TimeoutError:
        return f"The answer was not checked within {HEAVY_PATIENCE:g} s: too many slow checks at once"
