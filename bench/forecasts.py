"""How well twenty tried rows tell what a sheet costs: ten shapes of sheets, with answers drawn by a seed.

Each job is tried on rows of the whole sheet and resumed; its cost at the end is compared with the forecast
that it had when it paused.
"""

import argparse
import json
import math
import random
from collections.abc import Callable

from bench.service import AS_FAST_AS_IT_CAN, Service, running
from tests.support.servers import wait_until
from tests.support.upstream import Upstream

TRIED = 20
Rows = Callable[[random.Random, int], list[tuple[int, int]]]  # words of each row, and tokens of its answer


def classified(chance: random.Random, count: int) -> list[tuple[int, int]]:
    return [(chance.randint(20, 60), chance.choice((3, 3, 4))) for _ in range(count)]


def extracted(chance: random.Random, count: int) -> list[tuple[int, int]]:
    return [(chance.randint(80, 200), chance.randint(35, 60)) for _ in range(count)]


def scored(chance: random.Random, count: int) -> list[tuple[int, int]]:
    """With a sentence that says why."""
    return [(chance.randint(50, 150), round(chance.gauss(40, 8))) for _ in range(count)]


def summarised(chance: random.Random, count: int) -> list[tuple[int, int]]:
    """Long texts and answers that grow with them."""
    words = [round(chance.lognormvariate(5.5, 0.6)) for _ in range(count)]
    return [(size, round(size * 0.2 * chance.uniform(0.8, 1.2)) + 20) for size in words]


def translated(chance: random.Random, count: int) -> list[tuple[int, int]]:
    """Answers as long as the texts, which are of any length."""
    words = [round(chance.lognormvariate(4, 0.9)) for _ in range(count)]
    return [(size, round(size * 1.3 * chance.uniform(0.9, 1.1)) + 2) for size in words]


def sorted_by_length(chance: random.Random, count: int) -> list[tuple[int, int]]:
    """The first rows are the shortest: a try of the head would be wrong by half."""
    return sorted(translated(chance, count))


def of_two_kinds(chance: random.Random, count: int) -> list[tuple[int, int]]:
    """A third are questions with long answers, the others remarks with short ones."""
    return [(60, chance.randint(50, 60)) if chance.random() < 0.33 else (30, 25) for _ in range(count)]


def with_outliers(chance: random.Random, count: int) -> list[tuple[int, int]]:
    """One row in fifty has a whole article in its cell."""
    return [(chance.randint(900, 1_100), 60) if chance.random() < 0.02 else (40, 30) for _ in range(count)]


def in_blocks(chance: random.Random, count: int) -> list[tuple[int, int]]:
    """Five shops one below the other, each with its own habits."""
    return [(40 + 30 * (5 * row // count), 20 + 10 * (5 * row // count)) for row in range(count)]


def generated(chance: random.Random, count: int) -> list[tuple[int, int]]:
    """Free texts, whose length nobody knows before."""
    return [(25, min(400, round(chance.lognormvariate(math.log(120), 0.25)))) for _ in range(count)]


SHEETS: tuple[Rows, ...] = (
    *(classified, extracted, scored, summarised, translated),
    *(sorted_by_length, of_two_kinds, with_outliers, in_blocks, generated),
)


def off(service: Service, sheet: Rows, seed: int, rows: int) -> tuple[float, bool]:
    """By what share the cost was off from the likely one, and whether it lay within the bounds."""
    chance = random.Random(f"{sheet.__name__} {seed}")
    lines = [
        json.dumps({"prompt": f"{number}: {'word ' * words}tokens={tokens}"}).encode()
        for number, (words, tokens) in enumerate(sheet(chance, rows))
    ]
    job = service.submit(lines, max_tokens="1024", try_first=str(TRIED))
    wait_until(lambda: service.look(job)["status"] == "paused", seconds=60, what="the job was tried")
    forecast = {case: float(cost) for case, cost in service.look(job)["forecast"].items()}
    service.http.post(f"/jobs/{job['id']}/resume").raise_for_status()
    cost = float(service.wait_for(job)["cost"])
    return cost / forecast["likely"] - 1, forecast["low"] <= cost <= forecast["high"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rows", type=int, default=600)
    asked = parser.parse_args()
    with Upstream() as upstream, running(upstream.url, "sqlite", **AS_FAST_AS_IT_CAN) as service:
        upstream.configure(faults=[{"kind": "at_length"}], latency_ms=0)
        all_of: list[tuple[float, bool]] = []
        for sheet in SHEETS:
            found = [off(service, sheet, seed, asked.rows) for seed in range(asked.seeds)]
            all_of += found
            told = " ".join(f"{by:+.1%}" for by, _ in found)
            print(f"{sheet.__name__:<17} off by {told}", flush=True)
        near = sum(abs(by) <= 0.10 for by, _ in all_of) / len(all_of)
        within = sum(inside for _, inside in all_of) / len(all_of)
        print(f"{len(all_of)} jobs: within 10% of likely {near:.0%}, within the bounds {within:.0%}")


if __name__ == "__main__":
    main()
