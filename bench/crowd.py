"""Many readers of one job's events in one cheap process.

`python -m bench.crowd URL COUNT` opens COUNT streams of URL with the key of PENSTOCK_API_KEY, prints `open`
when each of them has had an event, and reads until its standard input ends. Then it prints, as JSON, for each
reader, the seq of the last record of each `records` event since and when that came, in seconds since 1970.
"""

import asyncio
import json
import os
import sys
import time
from urllib.parse import urlsplit

import uvloop

END = b"\n\n"
AT_ONCE = 1 << 20  # bytes of one event


async def read(url: str, came: list[tuple[int, float]], has_begun: asyncio.Event) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=AT_ONCE)
    key = os.environ["PENSTOCK_API_KEY"]
    writer.write(f"GET {address.path} HTTP/1.1\r\nHost: bench\r\nX-API-Key: {key}\r\n\r\n".encode())
    assert b" 200 " in await reader.readline()
    await reader.readuntil(b"\r\n\r\n")
    while True:
        event = await reader.readuntil(END)  # a chunk's size may stand before it, which no field is called
        now = time.time()
        has_begun.set()
        fields = dict(line.partition(b": ")[::2] for line in event.splitlines())
        if fields.get(b"event") == b"records":
            came.append((int(fields[b"id"]), now))


async def watch(url: str, count: int) -> None:
    came: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    begun = [asyncio.Event() for _ in range(count)]
    readers = [asyncio.create_task(read(url, *each)) for each in zip(came, begun, strict=True)]
    opened = asyncio.gather(*(each.wait() for each in begun))
    await asyncio.wait([opened, *readers], return_when=asyncio.FIRST_COMPLETED)
    await opened
    for each in came:
        each.clear()
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for reader in readers:
        reader.cancel()
    print(json.dumps(came))


if __name__ == "__main__":
    uvloop.run(watch(sys.argv[1], int(sys.argv[2])))
