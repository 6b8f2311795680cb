"""What a stack takes when it starts, when nobody asks for anything, and with a thousand calls in flight."""

import argparse
import re
import statistics
import time

from bench import servers
from bench.memory import Memory
from bench.service import AS_FAST_AS_IT_CAN, Service, prompts, running
from tests.support.servers import wait_until

IN_FLIGHT = 1_000


def ready_after(service: Service) -> float:
    """Seconds that `penstock up` says it took."""
    said = re.search(r"ready after ([\d.]+) s", (service.folder / "up.out").read_text())
    assert said is not None
    return float(said[1])


def idle(service: Service, seconds: float) -> dict[str, float]:
    """Percent of a core by part, while nothing is to be done."""
    processes = service.processes()
    time.sleep(5)  # what a start leaves to do
    before = processes.spent()
    time.sleep(seconds)
    return {part: spent / seconds * 100 for part, spent in processes.since(before).items()}


def in_flight(service: Service) -> tuple[float, float]:
    """Megabytes of the one slice worker with a thousand calls in flight: of its own, and its growth."""
    memory = Memory(service)
    with memory.watched():
        job = service.submit(prompts(IN_FLIGHT))
        wait_until(
            lambda: service.look(job)["counts"]["running"] == IN_FLIGHT, seconds=60, what="all are in flight"
        )
        time.sleep(5)
    service.http.post(f"/jobs/{job['id']}/cancel").raise_for_status()
    return memory.most["slices"] / 1e6, memory.growth("slices")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of starts")
    parser.add_argument("--seconds", type=float, default=60, help="of doing nothing")
    asked = parser.parse_args()
    with servers.provider() as upstream:
        starts = []
        for _ in range(asked.rounds):
            with running(upstream, "sqlite") as service:
                starts.append(ready_after(service))
        print(
            f"penstock up is ready after {statistics.median(starts):.1f} s ({min(starts):.1f} at best)",
            flush=True,
        )
        for kind in ("postgresql", "sqlite"):
            with running(upstream, kind) as service:
                parts = idle(service, asked.seconds)
            told = ", ".join(f"{part} {share:.2f}" for part, share in sorted(parts.items()))
            print(f"idle on {kind}: {sum(parts.values()):.2f} % of a core ({told})", flush=True)
    with servers.provider(120) as slow, running(slow, workers=1, **AS_FAST_AS_IT_CAN) as service:
        size, growth = in_flight(service)
        print(f"{IN_FLIGHT:,} calls in flight in one process: {size:.0f} MB, {growth:.0f} MB more than idle")


if __name__ == "__main__":
    main()
