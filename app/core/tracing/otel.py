"""Spans by OpenTelemetry, sent to a collector by OTLP over HTTP. No other file knows OpenTelemetry.

A span holds ids, names and figures: no prompt, no answer, no text of an error.
"""

import asyncio
import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Token
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler, SamplingResult
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.types import Error

from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.errors import ProviderError
from app.providers import first_byte
from app.providers.client import Reply

log = structlog.get_logger()

SCOPE = "penstock"
EVENLY = 100  # records of a job at most, spread evenly over it, whose calls have spans
FAILURES = 100  # of a job's other calls, that failed in this process, which have spans too
JOBS = 1_000  # whose failures are counted; then they are counted anew
FLUSH = 2.0  # seconds that a stopping process waits for its collector
JOB, WINDOW, EPOCH = "penstock.job.id", "penstock.window.id", "penstock.window.epoch"

TRACEPARENT = "traceparent"
# Between our own processes; callers may use another (OTEL_PROPAGATORS).
_W3C = TraceContextTextMapPropagator()


class RequestSpan:
    """A request's span, in which its thread is until it ends."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token: Token[Context] = attach(trace.set_span_in_context(span, Context()))
        structlog.contextvars.bind_contextvars(**_ids(span))

    def end(self, status: int | None, facts: Mapping[str, str]) -> None:
        """`status` is that of the response; None where there was none."""
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
            if status >= 500:
                _fail(self._span, str(status))
        self._span.set_attributes(facts)
        self.drop()
        self._span.end()

    def drop(self) -> None:
        """Leave the span without sending it."""
        detach(self._token)


class Spans:
    """The spans of this process."""

    def __init__(self, role: str, endpoint: str) -> None:
        self._provider = TracerProvider(resource=_resource(role), shutdown_on_exit=False)
        self._provider.sampler = _AsLinked(self._provider.sampler)
        self._provider.add_span_processor(BatchSpanProcessor(_Outgoing(endpoint)))
        self._tracer = self._provider.get_tracer(SCOPE, version("penstock"))
        self._calls = _Began(self._provider)
        self._handler = TelemetryHandler(
            tracer_provider=self._calls,
            instrumentation_scope_name=SCOPE,
            instrumentation_scope_version=version("penstock"),
        )
        self._failures: Counter[int] = Counter()

    def stop(self) -> None:
        stopping = threading.Thread(target=self._provider.shutdown, name="traces-stop", daemon=True)
        stopping.start()
        stopping.join(FLUSH)  # a collector that does not answer would take half a minute

    # --- a request

    def begin_request(
        self, method: str, route: str | None, url: tuple[str, str], headers: Mapping[str, Any] | None
    ) -> RequestSpan:
        facts = {"http.request.method": method, "url.scheme": url[0], "url.path": url[1]}
        if route:
            facts["http.route"] = route
        span = self._tracer.start_span(
            f"{method} {route}" if route else method,
            context=propagate.extract(headers or {}, context=Context()),
            kind=SpanKind.SERVER,
            attributes=facts,
        )
        return RequestSpan(span)

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier.get(TRACEPARENT)

    # --- a window, across processes

    @contextmanager
    def open_window(
        self, job: UUID, window: tuple[int, int], slices: int, linked_to: str | None
    ) -> Iterator[Mapping[str, Any]]:
        known: dict[str, str | int] = {JOB: str(job), **_of_window(window), "penstock.slices": slices}
        links = [] if trace.get_current_span().get_span_context().is_valid else _links(linked_to)
        with self._within("open window", SpanKind.PRODUCER, None, known, links):
            yield {"headers": {TRACEPARENT: self.traceparent()}}

    def passed_on(self, headers: Mapping[str, Any] | None) -> Mapping[str, Any]:
        found = (headers or {}).get(TRACEPARENT)
        return {"headers": {TRACEPARENT: found}} if found else {}

    @contextmanager
    def slice(
        self, headers: Mapping[str, Any] | None, window: tuple[int, int], *, alone: bool
    ) -> Iterator[Callable[[Mapping[str, int]], None]]:
        sent_by = _context_of(headers)
        if alone or not _is_sampled(sent_by):
            with _inside(sent_by):
                yield lambda _: None
            return
        with self._within("slice", SpanKind.CONSUMER, sent_by, _of_window(window)) as span:
            yield lambda summary: span.set_attributes(
                {f"penstock.{name}": figure for name, figure in summary.items()}
            )

    @contextmanager
    def close_window(self, headers: Mapping[str, Any] | None, window: tuple[int, int]) -> Iterator[None]:
        sent_by = _context_of(headers)
        if not _is_sampled(sent_by):
            yield
            return
        with self._within("close window", SpanKind.CONSUMER, sent_by, _of_window(window)):
            yield

    @contextmanager
    def _within(
        self,
        name: str,
        kind: SpanKind,
        parent: Context | None,
        attributes: Mapping[str, str | int],
        links: Sequence[Link] = (),
    ) -> Iterator[Span]:
        """In a new span; `parent` of None is whatever this thread is in."""
        span = self._tracer.start_span(name, context=parent, kind=kind, attributes=attributes, links=links)
        try:
            with _inside(trace.set_span_in_context(span, parent)):
                yield span
        except BaseException as error:
            _fail(span, type(error).__name__)
            raise
        finally:
            span.end()

    # --- a call

    async def call(
        self, asked: Coroutine[Any, Any, Reply], job: JobContext, claim: Claim, model: str
    ) -> Reply:
        began = time.time_ns()
        try:
            reply = await asked
        except BaseException as error:
            self._note(job, claim, model, began, error)
            raise
        self._note(job, claim, model, began, reply)
        return reply

    def _note(
        self, job: JobContext, claim: Claim, model: str, began: int, found: Reply | BaseException
    ) -> None:
        """Make the span of a call that has ended, if it is to have one; it never fails for that."""
        if not (_is_sampled(None) and self._is_chosen(job, claim, failed=not isinstance(found, Reply))):
            return
        try:
            self._make(job, claim, model, began, found)
        except Exception as error:  # what it was paid for is worth more than its span
            log.warning("traces.broken", error=type(error).__name__)

    def _is_chosen(self, job: JobContext, claim: Claim, *, failed: bool) -> bool:
        if claim.idx % math.ceil(max(1, job.total) / EVENLY) == 0:
            return True
        if not failed or self._failures[job.job_id] >= FAILURES:
            return False
        if len(self._failures) > JOBS:
            self._failures.clear()
        self._failures[job.job_id] += 1
        return True

    def _make(
        self, job: JobContext, claim: Claim, model: str, began: int, found: Reply | BaseException
    ) -> None:
        self._calls.at = began
        made = self._handler.inference(job.provider, request_model=model)
        made.attributes |= {
            JOB: str(job.uid),
            "penstock.tenant": job.facts["tenant"] or "",
            "penstock.record.index": claim.idx,
            "penstock.attempt": claim.attempt,
        }
        if (seconds := first_byte.took()) is not None:
            made.attributes["penstock.first_byte_seconds"] = seconds
        if not isinstance(found, Reply):
            made.fail(Error(message=None, type=_kind(found)))
            return
        if found.request_id is not None:
            made.attributes["penstock.provider.request_id"] = found.request_id
        if found.stop_reason is not None:
            made.finish_reasons = [found.stop_reason]
        if (usage := found.usage) is not None:
            made.input_tokens, made.output_tokens = usage.prompt_tokens, usage.output_tokens
            made.cache_read_input_tokens = usage.cache_read_tokens
            made.cache_write_input_tokens = usage.cache_write_tokens
        made.stop()


class _Began(trace.TracerProvider, trace.Tracer):
    """Its spans begin when their calls did. `TelemetryHandler` begins them when it is told, which is later:
    whether a call is worth a span is known at its end. Used on the event loop.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self.at = 0  # ns since 1970

    def get_tracer(self, *given: Any, **named: Any) -> trace.Tracer:
        self._tracer = self._provider.get_tracer(*given, **named)
        return self

    def start_span(self, *given: Any, **named: Any) -> Span:
        return self._tracer.start_span(*given, **{**named, "start_time": self.at})

    def start_as_current_span(self, *given: Any, **named: Any) -> Any:
        return self._tracer.start_as_current_span(*given, **{**named, "start_time": self.at})


class _AsLinked(Sampler):
    """A trace that is linked to another is sampled if that is; for all others the environment's sampler."""

    def __init__(self, otherwise: Sampler) -> None:
        self._otherwise = otherwise

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        chosen = self._otherwise
        if links:
            chosen = ALWAYS_ON if links[0].context.trace_flags.sampled else ALWAYS_OFF
        return chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"AsLinked({self._otherwise.get_description()})"


class _Outgoing(SpanExporter):
    """Sends spans, from a thread of its own; says once that they are not taken, and once that they are."""

    def __init__(self, endpoint: str) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it says it with every try
        if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() == "grpc":
            log.warning("traces.by_http", to_do="name the port on which the collector takes OTLP over HTTP")
        self._to = OTLPSpanExporter()
        address = urlsplit(endpoint)
        self._collector = f"{address.hostname}:{address.port}" if address.port else str(address.hostname)
        self._taken = True
        log.info("traces.on", collector=self._collector)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._to.export(spans)
        taken = result is SpanExportResult.SUCCESS
        if self._taken and not taken:
            log.warning("traces.not_sent", collector=self._collector, lost=len(spans))
        elif taken and not self._taken:
            log.info("traces.sent_again", collector=self._collector)
        self._taken = taken
        return result

    def shutdown(self) -> None:
        self._to.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._to.force_flush(timeout_millis)


def _resource(role: str) -> Resource:
    found = Resource.create({"service.version": version("penstock"), "penstock.role": role})
    if str(found.attributes["service.name"]).startswith("unknown_service"):
        found = found.merge(Resource({"service.name": SCOPE}))
    return found


def _of_window(window: tuple[int, int]) -> dict[str, int]:
    return {WINDOW: window[0], EPOCH: window[1]}


def _context_of(headers: Mapping[str, Any] | None) -> Context:
    """Empty where a message carries none, or something else in its place."""
    found = (headers or {}).get(TRACEPARENT)
    return _W3C.extract({TRACEPARENT: found} if isinstance(found, str) else {}, context=Context())


def _links(traceparent: str | None) -> list[Link]:
    found = trace.get_current_span(_context_of({TRACEPARENT: traceparent})).get_span_context()
    return [Link(found)] if found.is_valid else []


def _is_sampled(context: Context | None) -> bool:
    """Whether that of a context, or else the one that this thread is in, is a span that is sent."""
    return trace.get_current_span(context).get_span_context().trace_flags.sampled


@contextmanager
def _inside(context: Context) -> Iterator[None]:
    """In this context; log lines name its span."""
    token = attach(context)
    try:
        with structlog.contextvars.bound_contextvars(**_ids(trace.get_current_span(context))):
            yield
    finally:
        detach(token)


def _ids(span: Span) -> dict[str, str]:
    found = span.get_span_context()
    if not found.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(found.trace_id), "span_id": trace.format_span_id(found.span_id)}


def _fail(span: Span, kind: str) -> None:
    span.set_status(Status(StatusCode.ERROR))
    span.set_attribute("error.type", kind)


def _kind(error: BaseException) -> str:
    """`error.type`: the word that the record has, too."""
    if isinstance(error, ProviderError):
        return error.type
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
