"""Requirements of two specifications on the same limit, each on a Penstock of its own with a quiet minute."""

import time

import pytest

from tests.support.servers import wait_until
from tests.support.shared_stack import running_service

TEXT = "The train was late again, and nobody said why it had stood for an hour before the bridge."


@pytest.mark.long
def test_nfr1_fifty_texts_take_a_fraction_of_fifty_calls(upstream, request, tmp_path):
    # Given a Penstock as shipped, and a model that answers in a fifth of a second
    upstream.configure(latency_ms=200)
    asked = [{"text": f"Text number {number}. {TEXT}", "operation": "summarize"} for number in range(50)]
    with running_service(request, upstream, tmp_path, per_minute=None) as service:
        # When fifty texts are sent as one batch
        began = time.monotonic()
        answer = service.door.post("/batch_process", json={"requests": asked}).get_json()
        took = time.monotonic() - began

    # Then they take less than the ten seconds of fifty calls one after the other, though a machine that runs
    # other tests is slow: how much less is in docs/performance.md
    assert answer["completed"] == 50
    assert took < 50 * 0.2


def test_rule_1_no_more_than_the_configured_requests_a_minute_reach_the_provider(upstream, request, tmp_path):
    # Given more records than a minute allows, over two workers
    asked = [{"notes": [f"Note of {number}"]} for number in range(40)]
    with running_service(request, upstream, tmp_path, per_minute=20) as service:
        job = service.door.post("/api/v1/batch/analyze", json={"records": asked}).get_json()["job_id"]

        # Then as many calls as it allows leave at once, and the others wait
        wait_until(lambda: len(upstream.books()) == 20, what="the minute is used up")
        native = f"/api/v1/jobs/{job}"
        wait_until(lambda: service.door.get(native).get_json()["limited_by"] == "requests", what="it waits")
        assert len(upstream.books()) == 20
