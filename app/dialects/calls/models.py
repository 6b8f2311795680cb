"""The models that can be asked here, in the shape of whichever API the caller speaks."""

from typing import Any

from flask import Response, request

from app.core.accounts.api_keys import READ
from app.core.money import catalog
from app.dialects.calls import model_list
from app.dialects.calls.schemas import EitherErrorOut, ModelOut, ModelQuery, ModelsOut
from app.errors import BadInput, UnknownModel
from app.ingest.values import shown
from app.web import openapi
from app.web.answers import answer
from app.web.auth import needs
from app.web.blueprint import Blueprint
from app.web.error_shapes import ANTHROPIC_VERSION, by_client
from app.web.errors import refused_as_400
from config import settings

error = by_client
PREFIXES = ("/v1/models",)

blp = Blueprint(
    "models",
    __name__,
    errors=EitherErrorOut,
    description=f"{openapi.OTHERS} The models that can be asked here. With the header `{ANTHROPIC_VERSION}`"
    " in the shape of the Messages API, otherwise in that of OpenAI's.",
)
blp.register_error_handler(BadInput, refused_as_400)


@blp.route("/v1/models", methods=["GET"])
@needs(READ, 400)
@blp.arguments(ModelQuery, location="query")
@blp.response(200, ModelsOut)
def list_models(query: dict[str, Any]) -> Response:
    """List the models that can be asked here."""
    models = list(catalog.askable(settings.current()))
    if ANTHROPIC_VERSION not in request.headers:
        return answer({"object": "list", "data": [model_list.openai(model) for model in models]})
    query.pop("beta", None)
    return answer(model_list.page(models, **query))


@blp.route("/v1/models/<path:model_id>", methods=["GET"])
@needs(READ, 404)
@blp.response(200, ModelOut)
def get_model(model_id: str) -> Response:
    """Get one model, also one that the list cannot have, as an endpoint answers every name of its pattern."""
    model_id = model_id.removesuffix("/")  # the only path of its kind whose slash would count
    model = catalog.ask_for(model_id, settings.current())
    if model is None:
        raise UnknownModel(
            f"model: {shown(model_id)} cannot be asked here: GET /v1/models lists those that can"
        )
    write = model_list.anthropic if ANTHROPIC_VERSION in request.headers else model_list.openai
    return answer(write(model))
