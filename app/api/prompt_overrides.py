"""A user's own texts in place of those in config/operations.toml."""

from typing import Any

from flask import Response

from app.api.blueprint import Blueprint
from app.api.request_schemas import PromptOverrideIn
from app.api.response_schemas import PromptOverrideOut
from app.core.accounts.api_keys import READ, WRITE
from app.core.json_text import timestamp
from app.services import prompt_overrides
from app.services.prompt_overrides import Texts
from app.web.auth import caller, needs

blp = Blueprint("prompt_overrides", "Your own texts in place of the built-in prompts.")

_NAME = {"in": "path", "name": "name", "schema": {"type": "string"}, "example": "chat"}


@blp.route("/prompt-overrides/<name>", methods=["GET"], parameters=[_NAME])
@needs(READ, 404)
@blp.response(200, PromptOverrideOut)
def get_override(name: str) -> dict[str, Any]:
    """Get your own texts for an operation, next to the built-in ones."""
    return _override_out(prompt_overrides.get(caller(), name))


@blp.route("/prompt-overrides/<name>", methods=["PUT"], parameters=[_NAME])
@needs(WRITE, 404)
@blp.arguments(PromptOverrideIn, example={"prompt": "{{ question }}", "system": "Answer in a sentence."})
@blp.response(200, PromptOverrideOut)
def put_override(asked: dict[str, Any], name: str) -> dict[str, Any]:
    """Set your own texts for an operation: they apply to later submissions that ask for them."""
    return _override_out(prompt_overrides.put(caller(), name, **asked))


@blp.route("/prompt-overrides/<name>", methods=["DELETE"], parameters=[_NAME])
@needs(WRITE, 404)
@blp.response(204)
def delete_override(name: str) -> Response:
    """Go back to the built-in texts."""
    prompt_overrides.remove(caller(), name)
    return Response(status=204)


def _override_out(texts: Texts) -> dict[str, Any]:
    own, operation = texts.own, texts.shipped
    if own is None:
        raise prompt_overrides.none_of(texts.name)
    return {
        "name": own.name,
        "prompt": own.prompt,
        "system": own.system,
        "shipped": {"prompt": operation.prompt, "system": operation.system},
        "updated_at": timestamp(own.updated_at),
    }
