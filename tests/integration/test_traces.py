"""A trace leads from a request over windows to the calls for its records, and holds nothing that was said."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx2
import pytest

from tests.conftest import penstock_of_its_own
from tests.support.collector import Collector, Span, collecting
from tests.support.front_door import JOBS
from tests.support.servers import wait_until
from tests.support.stack import Stack
from tests.support.upstream import Upstream
from tests.support.web_process import WebProcess, web_process

MODEL = "claude-haiku-4-5"
CALL = f"chat {MODEL}"
OURS = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"  # the trace and the span of a caller
SAMPLED, UNSAMPLED = "01", "00"


class Traced(NamedTuple):
    web: WebProcess
    stack: Stack
    collector: Collector
    upstream: Upstream

    def send(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        headers = {"X-API-Key": self.stack.key, **request.pop("headers", {})}
        response = httpx2.request(
            method, self.web.url + path, headers=headers, timeout=30, trust_env=False, **request
        )
        assert response.is_success, response.text
        found: dict[str, Any] = response.json()
        return found

    def submit(self, prompts: list[str], flag: str = SAMPLED, **fields: Any) -> dict[str, Any]:
        body = {"model": MODEL, "records": [{"prompt": prompt} for prompt in prompts], **fields}
        headers = {"traceparent": "-".join(("00", *OURS, flag))}
        return self.send("POST", JOBS, json=body, headers=headers)

    def wait_for_end(self, job: dict[str, Any]) -> dict[str, Any]:
        def ended() -> bool:
            return bool(self.send("GET", f"{JOBS}/{job['id']}")["status"] == "completed")

        wait_until(ended, seconds=30, what="the job has ended")
        return self.send("GET", f"{JOBS}/{job['id']}")

    def wait_for_tree(self, trace: str, *lines: str) -> None:
        def tree() -> list[str]:
            return self.collector.tree(trace).splitlines()

        wait_until(lambda: tree() == list(lines), seconds=20, what=f"the trace is {lines}; it is {tree()}")

    def wait_for_spans(self, name: str, choose: Callable[[Span], bool], count: int) -> list[Span]:
        def found() -> list[Span]:
            return [span for span in self.collector.named(name) if choose(span)]

        wait_until(lambda: len(found()) >= count, seconds=20, what=f"{count} spans {name!r}: {found()}")
        return found()


@pytest.fixture(scope="module")
def traced(
    request: pytest.FixtureRequest, upstream_process: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traced")
    with (
        collecting() as collector,
        penstock_of_its_own(
            "sqlite",
            request,
            folder,
            ANTHROPIC_API_KEY="test-key",
            ANTHROPIC_BASE_URL=upstream_process.url,
            CLAUDE_REQUESTS_PER_MINUTE="60000",
            LOG_FORMAT="json",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY="50",  # ms
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        ) as values,
        web_process(values, folder) as web,
    ):
        stack = Stack(values, folder).start()
        yield Traced(web, stack, collector, upstream_process)
        stack.stop()


def test_one_trace_leads_from_the_callers_request_to_each_call_and_later_windows_are_linked_to_it(traced):
    # Given a provider that fails once for one record, and always for another
    traced.upstream.reset()
    traced.upstream.configure(
        faults=[
            {"kind": "status", "matching": "shaky secret", "first": 1},
            {"kind": "status", "matching": "doomed secret"},
        ]
    )

    # When a caller submits them within a trace of its own
    job = traced.submit(["sound secret", "shaky secret", "doomed secret"], name="a named secret", retries=1)
    assert traced.wait_for_end(job)["counts"]["failed"] == 1

    # Then its trace goes on to each call
    calls = [f"    {CALL}"] * 5
    traced.wait_for_tree(OURS[0], f"POST {JOBS}", "  open window", *calls, "    close window")
    [request] = traced.collector.named(f"POST {JOBS}")
    assert (request.parent, request.kind) == (OURS[1], "server")
    assert request.attributes["http.response.status_code"] == 202
    assert request.attributes["penstock.job.id"] == job["id"]
    assert request.process["service.name"] == "penstock"
    assert request.process["deployment.environment.name"] == "test"

    # And each call says what was asked of whom, for which record, and how it ended
    spans = [span for span in traced.collector.named(CALL) if span.trace == OURS[0]]
    assert {span.attributes["penstock.job.id"] for span in spans} == {job["id"]}
    assert sorted(_what(span) for span in spans) == [
        (0, 1, None), (1, 1, "server_error"), (1, 2, None), (2, 1, "server_error"), (2, 2, "server_error"),
    ]  # fmt: skip
    answered = next(span for span in spans if not span.failed)
    assert answered.kind == "client"
    assert answered.attributes["gen_ai.operation.name"] == "chat"
    assert answered.attributes["gen_ai.provider.name"] == "anthropic"
    assert answered.attributes["gen_ai.request.model"] == MODEL
    assert answered.attributes["gen_ai.response.finish_reasons"] == ["end_turn"]
    assert answered.attributes["gen_ai.usage.input_tokens"] > 0
    assert answered.attributes["gen_ai.usage.output_tokens"] > 0
    assert answered.ended > answered.began >= request.began

    # When the failed one is asked again, by another process than the request's
    traced.upstream.reset()
    traced.send("POST", f"{JOBS}/{job['id']}/retry")
    traced.wait_for_end(job)

    # Then that window is a trace of its own, linked to the request
    later = traced.wait_for_spans("open window", lambda span: span.links == [(OURS[0], request.id)], 1)[0]
    assert later.attributes["penstock.job.id"] == job["id"]
    traced.wait_for_tree(later.trace, "open window", f"  {CALL}", "  close window")

    # And nothing of what was asked or answered has left for the collector
    assert b"secret" not in traced.collector.received


def _what(span: Span) -> tuple[int, int, str | None]:
    found = span.attributes
    return found["penstock.record.index"], found["penstock.attempt"], found.get("error.type")


def test_a_large_job_has_spans_of_its_slices_of_some_calls_evenly_and_of_those_that_fail(traced):
    # Given a job whose request its caller does not sample, with a window then and one later
    traced.upstream.reset()
    traced.upstream.configure(
        faults=[
            {"kind": "status", "matching": "unseen", "first": 1},
            {"kind": "status", "matching": "Prompt 100.", "first": 1},
        ]
    )
    unseen = traced.wait_for_end(traced.submit(["unseen"], flag=UNSAMPLED, retries=0))
    traced.send("POST", f"{JOBS}/{unseen['id']}/retry")
    assert traced.wait_for_end(unseen)["counts"]["succeeded"] == 1

    # When there is a large one, one of whose calls fails
    asked = {"model": MODEL, "records": [{"prompt": f"Prompt {number}."} for number in range(250)]}
    job = traced.wait_for_end(traced.send("POST", JOBS, json=asked))

    # Then every third of its records has a span, and the one that failed, where it did
    calls = traced.wait_for_spans(CALL, lambda span: span.attributes["penstock.job.id"] == job["id"], 85)
    assert sorted(_what(span) for span in calls) == sorted(
        [(number, 1, None) for number in range(0, 250, 3)] + [(100, 1, "server_error")]
    )

    # And each of them is in that of a slice, which says how it went
    slices = {span.id: span for span in traced.wait_for_spans("slice", lambda _: True, 4)}
    assert {call.parent for call in calls} <= set(slices)
    assert sum(span.attributes["penstock.succeeded"] for span in slices.values()) == 250

    # And nothing is told of the other but by those who have asked for it since
    told = {
        span.attributes.get("penstock.job.id") for span in traced.collector.spans if span.kind != "server"
    }
    assert job["id"] in told
    assert unseen["id"] not in told


def test_a_call_that_somebody_waits_for_is_in_the_trace_of_its_request_as_are_the_log_lines(traced):
    traced.upstream.reset()
    asked = {"model": MODEL, "max_tokens": 10, "messages": [{"role": "user", "content": "Why?"}]}
    trace = "0af7651916cd43dd8448eb211c80319c"
    traced.send("POST", "/v1/messages", json=asked, headers={"traceparent": f"00-{trace}-{OURS[1]}-01"})

    traced.wait_for_tree(trace, "POST /v1/messages", "  open window", f"    {CALL}", "    close window")
    [request] = traced.collector.named("POST /v1/messages")
    lines = [json.loads(line) for line in traced.web.log.read_text().splitlines() if line.startswith("{")]
    [received] = [
        line for line in lines if line.get("trace_id") == trace and line["event"] == "batch.received"
    ]
    assert received["span_id"] == request.id
