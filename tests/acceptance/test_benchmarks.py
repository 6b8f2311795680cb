"""The benchmarks in a short form: that they measure what they say, not how fast this machine is."""

from pathlib import Path

import pytest

from bench import exhaustion, scaling, servers, throughput
from bench.checkout import Checkout
from bench.throughput import Figures, Run

ROOT = Path(__file__).parents[2]


def test_a_short_run_measures_every_part():
    figures = Figures()
    with servers.provider() as provider:
        rate, milliseconds = throughput.bare(provider, 200)
        measured = throughput.measure_run(Run("sqlite", 64), provider, 600, figures)

    assert rate > 0
    assert milliseconds > 0
    assert figures.rates == [measured]
    assert figures.submits[0] > 0
    assert figures.delays[0] > 0
    assert all(figures.cpu[part][0] > 0 for part in ("slices", "control", "web", "redis"))


@pytest.mark.long
def test_a_short_attack_shows_what_both_tenants_got(tmp_path):
    sizes = exhaustion.Sizes(seconds=1, longest=20, afterwards=0.2, records=100, jobs=10)
    row = exhaustion.measured("tiny-jobs", Checkout("here", ROOT, tmp_path), sizes)

    name, code, latency, job, download, table, web, alpha = row.strip("| ").split(" | ")
    assert (name, code) == ("tiny-jobs", "here")
    assert all(" s" in part and "(" not in part for part in (job, download, table)), row
    assert "none" not in latency
    assert "of a core" in web
    assert " × 202" in alpha


@pytest.mark.parametrize(
    ("workers", "permit", "busy"), [(1, 0.0002, "workers"), (10, 0.0002, "workers"), (100, 0.05, "Redis")]
)
def test_the_model_finds_what_is_busy(workers, permit, busy):
    seen = scaling.play(workers, jobs=20, latency=0.0, cores=64, permit=permit, in_flight=96, seconds=5.0)

    most = max(seen.use, key=seen.use.__getitem__)
    assert most == busy
    assert seen.use[busy] > 0.9


def test_in_the_model_a_slow_provider_leaves_workers_idle():
    one, two = (
        scaling.play(workers, jobs=1, latency=10.0, cores=2, permit=0.0002, in_flight=960, seconds=60.0)
        for workers in (1, 2)
    )

    assert one.use["workers"] < 0.5
    assert two.rate == pytest.approx(2 * one.rate, rel=0.05)
