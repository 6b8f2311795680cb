"""Whatever is sent, the response is one that the contract's document has: checked by Schemathesis."""

import pytest

from app.core.accounts.api_keys import SCOPES
from config import settings
from tests.conftest import KINDS, penstock_of_its_own
from tests.support.commands import Stack
from tests.support.front_door import Door
from tests.support.furnished_tenant import furnish, key_of
from tests.support.fuzzing import Fuzzing, aimed, contract
from tests.support.threaded_server import serving

SOME = ("paused", "ended", "ended documents", "ended table")


@pytest.fixture
def environment(request, tmp_path):
    """The kind of database is the test's parameter."""
    kind = getattr(request, "param", "sqlite")
    more = {"DEFAULT_MODEL": "simulated", "BATCH_PROCESS_WAIT_SECONDS": "20"}
    with penstock_of_its_own(kind, request, tmp_path, **more) as values:
        yield values
    settings.current.cache_clear()


def test_every_read_fits_the_document(environment, tmp_path):
    # Given jobs of every contract and in every state, and nobody who works on them
    with serving() as served:
        has = furnish(served.door)
        document = contract(has, [has.jobs[name] for name in SOME])

        # Then every read of them, and of what is not there, is answered as documented
        caller = Fuzzing(served.url, key_of("acme", *SCOPES), tmp_path)
        caller.run(document, "--phases", "examples,coverage", methods={"get"})


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("environment", KINDS, indirect=True)
def test_every_operation_of_a_running_stack_fits_the_document(environment, tmp_path):
    # Given the same with a whole stack, which works on them
    has = furnish(Door())
    stack = Stack(tmp_path, **environment)
    try:
        caller = Fuzzing(stack.is_ready().address, key_of("acme", *SCOPES), tmp_path)

        document = contract(has, [*has.jobs.values()])

        # Then every operation is answered as documented, whatever is sent and in any order
        caller.run(document, "--max-examples", "30", "--max-time", "140")

        # And so it is where most of what is sent is accepted
        caller.run(aimed(document, has), "--mode", "positive", "--max-examples", "30", "--max-time", "60")
    finally:
        stack.clear_away()
