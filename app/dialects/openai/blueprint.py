"""The blueprint of files and batches, and what all their answers have in common."""

from flask import Response, jsonify, request

from app.dialects.openai.schemas import ErrorOut
from app.errors import BadInput
from app.web import openapi
from app.web.blueprint import Blueprint
from app.web.errors import refused

PATIENCE = 120  # seconds; a client that is to wait longer had better not try again by itself
NO_RETRY = "x-should-retry"

blp = Blueprint(
    "openai",
    __name__,
    errors=ErrorOut,
    lenient=True,
    url_prefix="/v1",
    description=f"{openapi.OTHERS} Files and batches, as OpenAI's clients send them.",
)


@blp.errorhandler(BadInput)
def _refuse_input(error: BadInput) -> Response:
    return refused(error, status=400)


@blp.before_request
def _refuse_the_other_dialect() -> Response | None:
    """Anthropic's client has files at the same path, told apart by its header: there are none here."""
    if "anthropic-version" not in request.headers or not request.path.startswith("/v1/files"):
        return None
    message = "Anthropic's Files API is not served here: send a document in the message itself"
    response = jsonify({"type": "error", "error": {"type": "not_found_error", "message": message}})
    response.status_code = 404
    return response


@blp.after_request
def _say_whether_to_retry(response: Response) -> Response:
    """A client sends a refusal of these kinds again by itself, unless it is told that this is useless."""
    if response.status_code in (409, 429):
        wait = response.headers.get("Retry-After", type=int)
        if wait is None or wait > PATIENCE:
            response.headers[NO_RETRY] = "false"
    return response
