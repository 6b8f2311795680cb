"""A collector of traces: OTLP over HTTP as it comes, kept."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


@dataclass
class Span:
    """One that was received, in plain values."""

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    links: list[tuple[str, str]]  # traces and spans
    attributes: dict[str, Any]
    process: dict[str, Any]  # what is said of whoever sent it
    failed: bool
    began: int  # ns since 1970
    ended: int


@dataclass
class Collector:
    """What it has received."""

    url: str
    spans: list[Span] = field(default_factory=list)
    received: bytes = b""

    def take(self, body: bytes) -> None:
        self.received += body
        for sender in ExportTraceServiceRequest.FromString(body).resource_spans:
            process = _plain(sender.resource.attributes)
            for scope in sender.scope_spans:
                self.spans += [_read(span, process) for span in scope.spans]

    def of(self, trace: str) -> list[Span]:
        """Those of a trace, by their beginnings."""
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.began)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def tree(self, trace: str) -> str:
        """The names of a trace's spans, each below its parent, deeper by two spaces."""
        spans = self.of(trace)
        known = {span.id for span in spans}

        def lines(span: Span, depth: int) -> Iterator[str]:
            yield "  " * depth + span.name
            for below in spans:
                if below.parent == span.id:
                    yield from lines(below, depth + 1)

        tops = [span for span in spans if span.parent not in known]
        return "\n".join(line for top in tops for line in lines(top, 0))


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read(span: Any, process: dict[str, Any]) -> Span:
    return Span(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        attributes=_plain(span.attributes),
        process=process,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind) if kind else None
    return [_value(one) for one in found.values] if isinstance(found, type(value.array_value)) else found
