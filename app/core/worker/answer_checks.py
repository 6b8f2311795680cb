"""Checking answers against their schema without holding up the loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from app.core.requests.schemas import AnswerSchema
from app.errors import SchemaMismatch
from app.providers.client import Reply

HEAVY_PATIENCE = 60.0  # seconds that an answer waits for a check in a process of its own

# Threads that only wait for such a process: few, and not those that renew the lease.
_heavy = ThreadPoolExecutor(2, thread_name_prefix="heavy-checks")


async def fault(schema: AnswerSchema | None, reply: Reply) -> SchemaMismatch | None:
    """What is wrong with the answer; None when it fits, or no schema was given."""
    if schema is None:
        return None
    if schema.is_light(reply.text):
        found = schema.fault(reply.text)
    else:
        found = await _fault_in_subprocess(schema, reply.text)
    return None if found is None else SchemaMismatch(found)


async def _fault_in_subprocess(schema: AnswerSchema, text: str) -> str | None:
    try:
        async with asyncio.timeout(HEAVY_PATIENCE):
            return await asyncio.get_running_loop().run_in_executor(_heavy, schema.fault_in_subprocess, text)
    except TimeoutError:
        return f"The answer was not checked within {HEAVY_PATIENCE:g} s: too many slow checks at once"
