"""A network that cuts Redis's connections, or forgets them without a word: work goes on by itself."""

import time
from collections.abc import Iterator

import pytest

from tests.conftest import penstock_of_its_own
from tests.faults.support.breakable_stack import CLAUDE, Site, pass_by
from tests.support.relay import Relay, relay
from tests.support.threaded_server import serving
from tests.support.upstream import Upstream

CONNECTIONS = 6  # at least: broker, limiter and results, of each worker
BOUND = 30  # seconds within which work goes on


@pytest.fixture(scope="module")
def network(redis_server) -> Iterator[Relay]:
    with relay(redis_server.port) as made:
        yield made


@pytest.fixture(scope="module")
def site(request, tmp_path_factory, network) -> Iterator[Site]:
    """A worker for each queue, and five calls at a time."""
    folder = tmp_path_factory.mktemp("site")
    with Upstream() as upstream:
        more = Site.asking(upstream) | {
            "REDIS_URL": f"redis://127.0.0.1:{network.port}/0",
            "BATCH_MAX_CONCURRENT_LLM_CALLS": "5",
        }
        with penstock_of_its_own("sqlite", request, folder, **more) as values:
            made = Site(values, folder, upstream)
            made.start()
            yield made
            network.cut()  # whoever waits on a forgotten connection ends at once
            made.stop()


@pytest.fixture(autouse=True)
def half_a_second(site) -> None:
    """That is how long each call takes."""
    site.upstream.reset()
    site.upstream.configure(latency_ms=500)


def test_a_job_goes_on_when_every_connection_is_cut_three_times_in_three_seconds(site, network):
    # Given a job under way that somebody watches
    with serving() as served:
        job = served.door.submit(35, model=CLAUDE)
        with served.watch(job, timeout=30) as stream:
            stream.next("records")

            # When all connections are cut, again and again
            for _ in range(3):
                assert network.cut() >= CONNECTIONS
                pass_by(1)
            told = list(stream)

    # Then the job ends, its watcher hears of it, and no call was made twice
    assert told[-1].data["status"] == "completed"
    assert told[-1].data["counts"]["succeeded"] == 35
    assert site.arrived() == 35
    # And tasks are taken as before
    assert site.ask(3).wait_for("completed", seconds=30).statuses() == {"succeeded": 3}


def test_a_job_goes_on_over_connections_that_are_forgotten_without_a_word(site, network):
    # Given a job under way
    job = site.ask(15)
    job.wait_until_ended(3)

    # When what is sent over the connections that there are arrives nowhere, and neither end is told
    assert network.swallow() >= CONNECTIONS

    # Then
    assert job.wait_for("completed", seconds=BOUND).statuses() == {"succeeded": 15}
    assert site.arrived() == 15


@pytest.mark.long
def test_workers_take_tasks_again_when_their_connections_were_forgotten(site, network):
    seconds = []
    for _ in range(3):
        assert site.ask(3).wait_for("completed").statuses() == {"succeeded": 3}

        network.swallow()
        began = time.monotonic()
        assert site.ask(3).wait_for("completed").statuses() == {"succeeded": 3}
        seconds.append(time.monotonic() - began)

    # Connections are new within 15 s; a message that was sent into an old one is found missing 10 s later
    assert max(seconds) < 45, seconds
