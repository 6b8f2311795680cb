"""Whatever is sent, the response is one that the contract's document has: checked by Schemathesis."""

from collections.abc import Iterator

import pytest

from config import settings
from tests.conftest import penstock_of_its_own
from tests.support.furnished_tenant import furnish
from tests.support.fuzzing import Fuzzing, contract
from tests.support.stack import Stack
from tests.support.threaded_server import Served, serving

ENVIRONMENT = {"DEFAULT_MODEL": "simulated", "BATCH_PROCESS_WAIT_SECONDS": "1"}
SOME = ("running", "paused", "ended", "ended documents", "ended table", "ended chats")


@pytest.fixture
def served(request: pytest.FixtureRequest, tmp_path) -> Iterator[Served]:
    with penstock_of_its_own("sqlite", request, tmp_path, **ENVIRONMENT), serving() as made:
        yield made
    settings.current.cache_clear()


def test_every_read_fits_the_document(served, tmp_path):
    has = furnish(served.door)
    document = contract(has, [has.jobs[name] for name in SOME])

    Fuzzing(served.url, served.door.key, tmp_path).run(
        document, "--phases", "examples,coverage", "--max-examples", "5", methods={"get"}
    )


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_operation_fits_the_document_while_workers_work(kind, request, tmp_path):
    with penstock_of_its_own(kind, request, tmp_path, **ENVIRONMENT) as values, serving() as served:
        has = furnish(served.door)
        document = contract(has, [*has.jobs.values()])
        caller = Fuzzing(served.url, served.door.key, tmp_path)

        # What is there is read before anything changes it, and then all is changed in any order
        caller.run(document, "--phases", "examples,coverage,fuzzing", "--max-examples", "20", methods={"get"})
        workers = Stack(values, tmp_path).start()
        try:
            caller.run(
                document, "--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--max-time", "180"
            )
        finally:
            workers.stop()
    settings.current.cache_clear()
