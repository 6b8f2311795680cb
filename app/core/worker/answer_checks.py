"""Checking an answer against the schema that it was asked for, without holding up the loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from app.core.requests.schemas import AnswerSchema
from app.errors import SchemaMismatch
from app.providers.client import Reply

HEAVY_PATIENCE = 60.0  # seconds that an answer waits for a check in a process of its own

# Threads that only wait for such a process: few, and apart from those that renew the lease.
_heavy = ThreadPoolExecutor(2, thread_name_prefix="heavy-checks")


async def fault(schema: AnswerSchema | None, reply: Reply) -> SchemaMismatch | None:
    """What is wrong with the answer, when a schema was asked for and it does not fit."""
    if schema is None:
        return None
    if schema.is_light(reply.text):
        found = schema.fault(reply.text)
    else:
        found = await _heavy_fault(schema, reply.text)
    return None if found is None else SchemaMismatch(found)


async def _heavy_fault(schema: AnswerSchema, text: str) -> str | None:
    try:
        async with asyncio.timeout(HEAVY_PATIENCE):
            return await asyncio.get_running_loop().run_in_executor(_heavy, schema.fault_apart, text)
    except TimeoutError:
        return f"The answer was not checked within {HEAVY_PATIENCE:g} s: too many that take long came at once"
