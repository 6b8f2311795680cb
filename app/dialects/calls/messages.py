"""The Messages API: one call whose answer is waited for."""

from flask import Response

from app.core.accounts.api_keys import WRITE
from app.dialects.calls import answering, wire
from app.dialects.calls.schemas import STREAMED, CountIn, CountOut, MessageIn, MessageOut
from app.errors import BadInput
from app.web import bodies, openapi
from app.web.auth import needs
from app.web.blueprint import Blueprint
from app.web.error_shapes import AnthropicErrorOut
from app.web.errors import refused_as_400
from app.web.large_bodies import JSON, WITH_DOCUMENTS, takes
from config import settings

error = wire.MESSAGES.shape
PREFIXES = ("/v1/messages",)

blp = Blueprint(
    "messages",
    __name__,
    errors=AnthropicErrorOut,
    description=f"{openapi.OTHERS} The Messages API: one call whose answer is waited for.",
)
blp.register_error_handler(BadInput, refused_as_400)

EXAMPLE = {
    "model": "simulated",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
}
COUNTED = openapi.request_body(
    (openapi.JSON, CountIn, {name: EXAMPLE[name] for name in ("model", "messages")})
)
BODY = openapi.request_body((openapi.JSON, MessageIn, EXAMPLE))


@blp.route("/v1/messages", methods=["POST"])
@needs(WRITE, 400, 404, 413, 415, 429, 502, 503)
@blp.doc(requestBody=BODY, responses=STREAMED)
@blp.response(200, MessageOut, description="The answer; with `stream` its events (text/event-stream).")
@takes({JSON: WITH_DOCUMENTS})
def create_message() -> Response:
    """Ask for one message, and wait for it.

    The call has its place in the limits, caps and books like a job of one record, and goes before batches.
    """
    with bodies.json_body() as body:
        call = wire.message_call(body, settings.current().default_max_tokens, answering.passed_on())
    return answering.respond(call, wire.MESSAGES)


@blp.route("/v1/messages/count_tokens", methods=["POST"])
@needs(WRITE, 400, 404, 413, 415, 429, 502, 503)
@blp.doc(requestBody=COUNTED)
@blp.response(200, CountOut)
@takes({JSON: WITH_DOCUMENTS})
def count_tokens() -> Response:
    """Count the tokens of a request, without asking it: its provider does, for nothing."""
    with bodies.json_body() as body:
        params = wire.count_params(body)
    return answering.count(params)
