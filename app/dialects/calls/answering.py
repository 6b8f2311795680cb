"""The response to a call whose caller waits: the answer as it came, whole or while it comes."""

import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from flask import Response, g, jsonify, request

from app.core.json_text import on_one_line
from app.core.relay.frames import Frame, Kind
from app.dialects.calls.wire import MESSAGES, Api, Call
from app.errors import BadAnswer, ProviderError, Refused
from app.providers import client_headers, registry
from app.providers.free import token_count
from app.providers.streams.chunks import Chunks
from app.services import attended
from app.services.attended import Failure, Frames
from app.web import capacity, job_lookup
from app.web.auth import caller
from app.web.connection import is_closed
from app.web.open_keys import while_valid
from config import settings


def respond(call: Call, api: Api) -> Response:
    """Make the call, and respond with its answer or failure, in the terms of the caller's API."""
    registry.require(call.model, settings.current())
    attended.check(call.model)
    with capacity.preparing() as seat:
        me = caller()
        waiting = attended.submit(me.tenant_id, me.user_id, call.draft, call.defaults, streamed=call.streamed)
        job_lookup.about(waiting.job.uid)
        frames = waiting.frames(partial(is_closed, _connection()))
        if call.streamed:
            return _streamed(frames, seat, api, call.chunks)
        try:
            return _whole(frames, api, call)
        finally:
            frames.close()
            seat.give_back()


def passed_on() -> Mapping[str, str]:
    """What the caller's client says to the provider in headers; raises `BadRequest`."""
    return client_headers.passed_on(request.headers.items())


def count(params: Mapping[str, Any]) -> Response:
    """The provider's count of the tokens of a request, or its refusal."""
    registry.require(params["model"], settings.current())
    with capacity.preparing() as seat:
        try:
            return jsonify(token_count.count(params, passed_on(), settings.current()))
        except ProviderError as error:
            return _failed(Failure.of_error(error), MESSAGES)
        finally:
            seat.give_back()


def _whole(frames: Frames, api: Api, call: Call) -> Response:
    with while_valid():
        last = next(frame for frame in frames if frame.kind is not Kind.SENT)
    if last.kind is Kind.FAILED:
        return _failed(Failure.of(last), api)
    return Response(on_one_line(api.answer(last.data, call)), mimetype="application/json")


def _streamed(frames: Frames, seat: capacity.Seat, api: Api, chunks: Chunks | None) -> Response:
    """Until something of the answer is there, a failure is an ordinary error that SDKs know how to repeat."""
    first = next(frame for frame in frames if frame.kind is not Kind.SENT)
    if first.kind is Kind.FAILED:
        seat.give_back()
        return _failed(Failure.of(first), api)
    told = partial(api.failure_event, request_id=g.request_id)
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache"}
    return capacity.stream(_events(first, frames, told, chunks), "text/event-stream", headers, seat)


def _events(
    first: Frame, frames: Frames, told: Callable[[Failure], bytes], chunks: Chunks | None
) -> Iterator[bytes]:
    """The provider's events as they stand, or as `chunks`, and one of ours where the answer breaks off."""
    frame: Frame | None = first
    try:
        while frame is not None and frame.kind is not Kind.END:
            if frame.kind is Kind.FAILED:
                yield told(Failure.of(frame))
                return
            yield on_one_line(frame.data if chunks is None else chunks.feed(frame.data))
            frame = next(frames, None)
    except (AttributeError, LookupError, TypeError) as fault:  # a relay's events, not ours
        message = f"the stream's events do not form an answer: {fault!r:.200}"
        yield told(Failure(BadAnswer.shown_as, BadAnswer.type, message, None, None))
    except Refused as error:
        yield told(Failure(error.status, error.type, error.message, None, None))
    finally:
        frames.close()


def _failed(failure: Failure, api: Api) -> Response:
    response = jsonify(api.failure(failure, g.request_id))
    response.status_code = failure.status
    if failure.retry_after is not None and failure.status != 401:
        response.headers["Retry-After"] = str(failure.retry_after)
    return response


def _connection() -> socket.socket | None:
    found: socket.socket | None = request.environ.get("gunicorn.socket")
    return found
