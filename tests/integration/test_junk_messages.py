"""Whatever else lies in the broker's lists, workers drop it and go on."""

import json

import pytest
import redis

from config import settings

NO_TASK = {"properties": {"delivery_tag": "1", "delivery_info": {"exchange": "", "routing_key": "control"}}}
TASK = {
    "body": "W1tdLCB7fSwge31d",
    "content-encoding": "utf-8",
    "content-type": "application/json",
    "properties": {**NO_TASK["properties"], "body_encoding": "base64", "delivery_tag": "2"},
}
JUNK = [
    b"junk",
    b"\xff\xfe",
    b"[" * 100_000,
    b'"text"',
    b"{}",
    b'{"__type__": "datetime", "__value__": 5}',
    *(
        json.dumps(message).encode()
        for message in (
            {"properties": {}},
            {"properties": {"delivery_tag": "1", "delivery_info": []}},
            {**TASK, "body": "é"},
            NO_TASK,
            TASK,
            {**TASK, "headers": []},
            {**TASK, "headers": {"task": ["penstock.sweep"], "id": "a"}},
            {**TASK, "headers": {"task": "penstock.sweep"}},
            {**TASK, "headers": {"task": "penstock.sweep", "id": {}}},
            {**TASK, "headers": {"task": "no.such.task", "id": "b"}},
            {**TASK, "headers": {"task": "penstock.sweep", "id": "c", "eta": "junk", "expires": []}},
            {
                **TASK,
                "content-type": "application/x-python-serialize",
                "headers": {"task": "penstock.advance", "id": "d"},
            },
        )
    ),
]


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_workers_drop_what_is_not_a_task_and_go_on(stack) -> None:
    # Given workers, and junk of every kind in their lists
    stack.start()
    processes = [node.container._container.process.pid for node in stack.nodes]
    with redis.Redis.from_url(settings.current().broker_url) as broker:
        for queue in ("control", "slices"):
            broker.lpush(queue, *JUNK)

        # When a job is submitted
        job = stack.prompts(3).wait_for("completed", seconds=30)

        # Then it is done by the same processes, and nothing is left of the junk
        assert job.counts().succeeded == 3
        assert [node.container._container.process.poll() for node in stack.nodes] == [None, None]
        assert [node.container._container.process.pid for node in stack.nodes] == processes
        assert "broker.junk_dropped" in stack.logs()
