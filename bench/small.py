"""How long a small job takes: from the request to its last answer, at a provider that answers at once."""

import argparse
import statistics
import time

from bench import servers
from bench.service import AS_FAST_AS_IT_CAN, Service, prompts, running

SIZES = (1, 10, 100, 101, 500)  # up to 100 are one task per record
LOOK = 0.02  # seconds between two looks at a job


def seconds(service: Service, records: int) -> tuple[float, float]:
    """From the request to its 202, and to its end."""
    began = time.monotonic()
    job = service.submit(prompts(records))
    accepted = time.monotonic()
    while service.look(job)["status"] != "completed":
        time.sleep(LOOK)
    return accepted - began, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with servers.provider() as upstream:
        for kind in ("postgresql", "sqlite"):
            with running(upstream, kind, **AS_FAST_AS_IT_CAN) as service:
                seconds(service, 300)  # connections and caches are not what is measured
                for size in SIZES:
                    rounds = [seconds(service, size) for _ in range(asked.rounds)]
                    accepted, ended = (statistics.median(times) for times in zip(*rounds, strict=True))
                    print(
                        f"{kind}, {size} records: 202 after {accepted:.2f} s, ended after {ended:.2f} s",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
