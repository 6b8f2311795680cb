"""OpenAI's API: one call whose answer is waited for."""

from flask import Response

from app.core.accounts.api_keys import WRITE
from app.dialects.calls import answering, wire
from app.dialects.calls.schemas import (
    STREAMED,
    ChatIn,
    ChatOut,
    EmbeddingsIn,
    EmbeddingsOut,
    ResponseIn,
    ResponseOut,
)
from app.errors import BadInput
from app.web import bodies, openapi
from app.web.auth import needs
from app.web.blueprint import Blueprint
from app.web.error_shapes import OpenAIErrorOut
from app.web.errors import refused_as_400
from app.web.large_bodies import JSON, WITH_DOCUMENTS, takes
from config import settings

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
error = wire.OPENAI.shape
PREFIXES = ("/v1/chat", RESPONSES, EMBEDDINGS)

blp = Blueprint(
    "completions",
    __name__,
    errors=OpenAIErrorOut,
    description=f"{openapi.OTHERS} OpenAI's API: one call whose answer is waited for.",
)
blp.register_error_handler(BadInput, refused_as_400)

ASKED = [{"role": "user", "content": "Why is the sky blue?"}]
REFUSALS = (400, 404, 413, 415, 429, 502, 503)


@blp.route(CHAT, methods=["POST"])
@needs(WRITE, *REFUSALS)
@blp.doc(
    requestBody=openapi.request_body((openapi.JSON, ChatIn, {"model": "simulated", "messages": ASKED})),
    responses=STREAMED,
)
@blp.response(200, ChatOut, description="The answer; with `stream` its chunks (text/event-stream).")
@takes({JSON: WITH_DOCUMENTS})
def create_chat_completion() -> Response:
    """Ask for one chat completion, and wait for it."""
    return _respond(CHAT)


@blp.route(RESPONSES, methods=["POST"])
@needs(WRITE, *REFUSALS)
@blp.doc(
    requestBody=openapi.request_body(
        (openapi.JSON, ResponseIn, {"model": "simulated", "input": "Why is the sky blue?"})
    ),
    responses=STREAMED,
)
@blp.response(200, ResponseOut, description="The answer; with `stream` its events (text/event-stream).")
@takes({JSON: WITH_DOCUMENTS})
def create_response() -> Response:
    """Ask for one response, and wait for it. It is not kept for the next one to refer to."""
    return _respond(RESPONSES)


@blp.route(EMBEDDINGS, methods=["POST"])
@needs(WRITE, *REFUSALS)
@blp.doc(
    requestBody=openapi.request_body(
        (openapi.JSON, EmbeddingsIn, {"model": "simulated", "input": "The sky is blue."})
    )
)
@blp.response(200, EmbeddingsOut)
@takes({JSON: WITH_DOCUMENTS})
def create_embeddings() -> Response:
    """Ask for the embeddings of one or several texts, and wait for them."""
    return _respond(EMBEDDINGS)


def _respond(path: str) -> Response:
    with bodies.json_body() as body:
        call = wire.raw_call(path, body, settings.current().default_max_tokens, answering.passed_on())
    return answering.respond(call, wire.OPENAI)
