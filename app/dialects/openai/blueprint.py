"""The blueprint of files and batches, and what all their answers have in common."""

from flask import Response, request

from app.errors import BadInput, NotFound
from app.web import openapi
from app.web.blueprint import Blueprint
from app.web.error_shapes import ANTHROPIC_VERSION, OpenAIErrorOut
from app.web.errors import refused_as_400

PATIENCE = 120  # seconds; a client that is to wait longer had better not try again by itself
NO_RETRY = "x-should-retry"

blp = Blueprint(
    "openai",
    __name__,
    errors=OpenAIErrorOut,
    lenient=True,
    url_prefix="/v1",
    description=f"{openapi.OTHERS} Files and batches, as OpenAI's clients send them.",
)
blp.register_error_handler(BadInput, refused_as_400)


@blp.before_request
def _refuse_the_other_dialect() -> None:
    """Anthropic's client has files at the same path, told apart by its header: there are none here."""
    if ANTHROPIC_VERSION in request.headers and request.path.startswith("/v1/files"):
        raise NotFound("Anthropic's Files API is not served here: send a document in the message itself")


@blp.after_request
def _say_whether_to_retry(response: Response) -> Response:
    """A client sends a refusal of these kinds again by itself, unless it is told that this is useless."""
    if response.status_code in (409, 429):
        wait = response.headers.get("Retry-After", type=int)
        if wait is None or wait > PATIENCE:
            response.headers[NO_RETRY] = "false"
    return response
