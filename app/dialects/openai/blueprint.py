"""The blueprint of files and batches, and what all their answers have in common."""

from flask import request

from app.errors import BadInput, NotFound
from app.web import openapi
from app.web.blueprint import Blueprint
from app.web.error_shapes import ANTHROPIC_VERSION, OpenAIErrorOut
from app.web.errors import refused_as_400

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
