"""What many write first: asyncio, the official SDK and a semaphore in one process. Nothing of it is kept.

`python -m bench.bare URL RECORDS` prints records a second and the process's CPU milliseconds a record.
"""

import asyncio
import sys
import time

from anthropic import AsyncAnthropic, DefaultAioHttpClient

MODEL = "claude-haiku-4-5"
AT_ONCE = 100


async def ask_all(url: str, records: int) -> None:
    client = AsyncAnthropic(
        api_key="bench-key", base_url=url, max_retries=0, http_client=DefaultAioHttpClient()
    )
    seats = asyncio.Semaphore(AT_ONCE)

    async def ask(number: int) -> None:
        async with seats:
            await client.messages.create(
                model=MODEL,
                max_tokens=64,
                messages=[
                    {"role": "user", "content": f"Classify review {number}: great phone, bad battery."}
                ],
            )

    async with asyncio.TaskGroup() as tasks:
        for number in range(records):
            tasks.create_task(ask(number))
    await client.close()


def main() -> None:
    url, records = sys.argv[1], int(sys.argv[2])
    asyncio.run(ask_all(url, 50))  # connections and imports are not what is measured
    began, worked = time.perf_counter(), time.process_time()
    asyncio.run(ask_all(url, records))
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    print(records / seconds, cpu / records * 1000)


if __name__ == "__main__":
    main()
