"""A Penstock that sends webhooks to this machine, and who receives them."""

from collections.abc import Iterator

import pytest

from tests.conftest import KINDS, penstock_of_its_own
from tests.support.front_door import Door
from tests.support.webhook_receiver import Receiver, receiving


@pytest.fixture(params=KINDS)
def door(request: pytest.FixtureRequest, tmp_path) -> Iterator[Door]:
    with penstock_of_its_own(request.param, request, tmp_path, WEBHOOK_NETWORKS="127.0.0.0/8"):
        yield Door()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver
