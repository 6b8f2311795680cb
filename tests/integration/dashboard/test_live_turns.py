"""Many live regions of one tenant take no more of the web process than one, and are still alive."""

from collections.abc import Iterator

import pytest

from app.dashboard import live
from tests.support.browser_client import Browser
from tests.support.front_door import Door

pytestmark = pytest.mark.one_database


@pytest.fixture
def door(environment) -> Door:
    return Door()


def chunks_of(door: Door) -> Iterator[bytes]:
    """What comes of the live region of a new job."""
    path = f"/ui/jobs/{door.submit(1)['id']}/live"
    with Browser(door).client.get(path, buffered=False) as stream:
        yield from stream.iter_encoded()


def test_regions_of_a_tenant_are_rendered_one_after_another_and_those_of_others_meanwhile(door):
    # Given a tenant one of whose regions is being rendered
    with live._turns[door.tenant_id]:
        # Then that of another tenant does not wait
        others = chunks_of(door.other())
        assert b"job-state" in next(others)
        others.close()

        # And another one of its own does, which is alive
        waiting = chunks_of(door)
        assert next(waiting) == live.ALIVE

    assert b"job-state" in next(waiting)
    waiting.close()
