"""A worker that is killed, or told to stop, while it sends a webhook."""

import signal
import threading
from typing import Any

import pytest

from tests.conftest import penstock_of_its_own
from tests.support.front_door import Door
from tests.support.servers import wait_until
from tests.support.stack import Stack
from tests.support.webhook_receiver import receiving
from tests.support.webhook_sending import make_due


# Its short sister, without processes, is in tests/integration/webhooks/test_deliveries.py.
@pytest.mark.long
def test_what_a_killed_worker_was_sending_is_sent_by_the_next(request: pytest.FixtureRequest, tmp_path):
    # Given a worker that is killed while an event is on its way
    release = threading.Event()
    with (
        penstock_of_its_own("sqlite", request, tmp_path, WEBHOOK_NETWORKS="127.0.0.0/8") as environment,
        receiving(before=release.wait) as receiver,
    ):
        stack, door = Stack(environment, tmp_path), Door()
        job = door.submit(1, webhook_url=receiver.url)
        assert door.post(f"/api/v1/jobs/{job['id']}/cancel").status_code == 200
        stack.start(slice_workers=0)
        receiver.wait_for(1)
        stack.nodes[-1].kill(signal.SIGKILL)
        release.set()

        # When its time is over and another worker is there
        make_due()
        stack.start(slice_workers=0)

        # Then it is sent again, under the same id
        first, second = receiver.wait_for(2)
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        wait_until(lambda: [one["status"] for one in listed(door)] == ["succeeded"], what="it is delivered")

        # And a worker that is told to stop lets what it sends come to its end
        release.clear()
        [delivery] = listed(door)
        assert door.post(f"/api/v1/webhook-deliveries/{delivery['id']}/resend").status_code == 202
        receiver.wait_for(3)
        stopping = threading.Thread(target=stack.stop)
        stopping.start()
        wait_until(lambda: "Warm shutdown" in stack.logs(), what="the worker has been told to stop")
        release.set()
        stopping.join(30)
        assert [(one["status"], one["attempts"]) for one in listed(door)] == [("succeeded", 1)]


def listed(door: Door) -> list[dict[str, Any]]:
    return list(door.get("/api/v1/webhook-deliveries").get_json()["data"])
