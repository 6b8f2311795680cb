"""How fast the results of a large job stream out, and what the web needs for it.

A job of a thousand records is asked; its rows are then multiplied in the database, because asking a million
takes twenty minutes.
"""

import argparse
import http.client
import time
from contextlib import closing
from urllib.parse import urlsplit

import psycopg

from bench import servers
from bench.memory import Memory
from bench.service import AS_FAST_AS_IT_CAN, Job, Service, prompts, running

ASKED = 1_000
TABLES = ("record", "record_input", "record_output")
PIECE = 1_000_000  # bytes that are read at once
COUNTED = ("idx", "seq")  # what differs from one copy of a row to the next


def multiply(service: Service, times: int) -> None:
    """Make the only job of the database so many times as large."""
    with psycopg.connect(service.database.replace("postgresql+psycopg", "postgresql")) as connection:
        for table in TABLES:
            description = connection.execute(f"SELECT * FROM {table} LIMIT 0").description
            assert description is not None
            names = [column.name for column in description]
            values = [f"{name} + n * {ASKED}" if name in COUNTED else name for name in names]
            connection.execute(
                f"INSERT INTO {table} ({', '.join(names)})"
                f" SELECT {', '.join(values)} FROM {table}, generate_series(1, {times - 1}) AS n"
            )
        connection.execute(f"UPDATE job SET total = total * {times}")
        connection.execute(f"UPDATE job_counts SET succeeded = succeeded * {times}, seq = seq * {times}")


def stream_out(service: Service, job: Job, records: int, query: str) -> None:
    """Read by a client that does as little as can be: it works on the same cores."""
    connection = http.client.HTTPConnection(urlsplit(service.address).netloc)
    headers = {"Authorization": service.http.headers["Authorization"]}
    memory, processes = Memory(service), service.processes()
    before = processes.spent()
    lines, size, began = 0, 0, time.monotonic()
    with memory.watched(), closing(connection):
        connection.request("GET", f"/api/v1/jobs/{job['id']}/results?{query}", headers=headers)
        answer = connection.getresponse()
        while piece := answer.read(PIECE):
            lines += piece.count(b"\n")
            size += len(piece)
    seconds = time.monotonic() - began
    assert lines >= records
    spent = processes.since(before)
    print(
        f"results, {query}: {records / seconds:,.0f} records/s, {size / seconds / 1e6:.1f} MB/s;"
        f" {spent['web'] / records * 1e6:.0f} µs of the web's processor time a record,"
        f" {spent['database'] / records * 1e6:.0f} of the database's;"
        f" the web grew by {memory.growth('web'):.0f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    asked = parser.parse_args()
    with servers.provider() as upstream, running(upstream, **AS_FAST_AS_IT_CAN) as service:
        job = service.wait_for(service.submit(prompts(ASKED)))
        multiply(service, asked.records // ASKED)
        for query in ("format=jsonl", "format=jsonl&order=completion", "format=csv"):
            stream_out(service, job, asked.records, query)


if __name__ == "__main__":
    main()
