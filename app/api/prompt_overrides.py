"""A user's own texts in place of those in config/operations.toml."""

from functools import partial
from typing import Any

from flask import Response

from app.api.blueprint import Blueprint
from app.api.request_schemas import PromptOverrideIn
from app.api.response_schemas import PromptOverrideOut
from app.core.accounts.api_keys import READ, WRITE
from app.core.json_text import timestamp
from app.core.requests import prompt_overrides
from app.errors import NotFound
from app.ingest.operations import Operation
from app.web.auth import caller, needs
from models.prompt_override import PromptOverride
from models.session import in_transaction, reading

blp = Blueprint("prompt_overrides", "Your own texts in place of the built-in prompts.")

_NAME = {"in": "path", "name": "name", "schema": {"type": "string"}, "example": "chat"}


@blp.route("/prompt-overrides/<name>", methods=["GET"], parameters=[_NAME])
@needs(READ, 404)
@blp.response(200, PromptOverrideOut)
def get_override(name: str) -> dict[str, Any]:
    """Get your own texts for an operation, next to the built-in ones."""
    me, operation = caller(), prompt_overrides.shipped(name)
    with reading() as session:
        own = prompt_overrides.find(session, me.tenant_id, me.user_id, name)
    if own is None:
        raise _none(name)
    return _override_out(own, operation)


@blp.route("/prompt-overrides/<name>", methods=["PUT"], parameters=[_NAME])
@needs(WRITE, 404)
@blp.arguments(PromptOverrideIn, example={"prompt": "{{ question }}", "system": "Answer in a sentence."})
@blp.response(200, PromptOverrideOut)
def put_override(asked: dict[str, Any], name: str) -> dict[str, Any]:
    """Set your own texts for an operation: they apply to later submissions that ask for them."""
    me, operation = caller(), prompt_overrides.shipped(name)
    prompt_overrides.check(**asked)
    put = partial(prompt_overrides.put, tenant_id=me.tenant_id, user_id=me.user_id, name=name, **asked)
    return _override_out(in_transaction(put), operation)


@blp.route("/prompt-overrides/<name>", methods=["DELETE"], parameters=[_NAME])
@needs(WRITE, 404)
@blp.response(204)
def delete_override(name: str) -> Response:
    """Go back to the built-in texts."""
    me = caller()
    prompt_overrides.shipped(name)
    remove = partial(prompt_overrides.remove, tenant_id=me.tenant_id, user_id=me.user_id, name=name)
    if not in_transaction(remove):
        raise _none(name)
    return Response(status=204)


def _none(name: str) -> NotFound:
    return NotFound(f"you have no texts of your own for {name!r}: the built-in ones are used")


def _override_out(own: PromptOverride, operation: Operation) -> dict[str, Any]:
    return {
        "name": own.name,
        "prompt": own.prompt,
        "system": own.system,
        "shipped": {"prompt": operation.prompt, "system": operation.system},
        "updated_at": timestamp(own.updated_at),
    }
