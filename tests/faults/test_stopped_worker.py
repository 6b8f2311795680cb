"""A worker is told to stop, and told again. A deploy under load is in `site/test_deploy.py`."""

import time

import pytest


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_a_worker_that_is_told_to_stop_again_and_again_ends_all_the_same(stack):
    # Given a worker that does nothing
    told = stack.start_slices().container._container.process

    # When an impatient supervisor sends it one SIGTERM after the other, some of them within the first one's
    over = time.monotonic() + 1
    while time.monotonic() < over and told.poll() is None:
        told.terminate()

    # Then it ends in order
    assert told.wait(30) == 0
