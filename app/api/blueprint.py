"""The blueprint of the native contract: arguments are read strictly and refused in our own words."""

from collections.abc import Mapping
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request, Response, jsonify
from flask_smorest import Blueprint as SmorestBlueprint
from webargs import core
from webargs.flaskparser import FlaskParser, is_json_request

from app.core.shown import PREFIX
from app.error_responses import refuse_invalid
from app.errors import BadInput, UnknownForm
from app.ingest.values import from_json


class Parser(FlaskParser):
    """Refuses unknown names everywhere, and JSON that Python alone would take."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": ma.RAISE, "query": ma.RAISE}  # noqa: RUF012 - webargs' own

    def _raw_load_json(self, req: Request) -> Any:
        if is_json_request(req):
            return read_json(req.get_data())
        if req.get_data():
            raise UnknownForm(f"send JSON as application/json; found {req.mimetype or 'no content type'}")
        return core.missing

    def handle_error(self, error: ma.ValidationError, *_: Any, **__: Any) -> NoReturn:
        # The first level names where the arguments stood: `query` or `json`.
        inner: dict[str, Any] = {}
        for messages in error.messages_dict.values():
            inner |= messages if isinstance(messages, Mapping) else {"_schema": messages}
        refuse_invalid(ma.ValidationError(inner))


class Blueprint(SmorestBlueprint):
    ARGUMENTS_PARSER = Parser()

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, f"app.api.{name}", url_prefix=PREFIX, description=description)


def read_json(body: bytes) -> Any:
    """The value that a request's body holds; raises `BadInput`."""
    try:
        return from_json(body.decode())
    except UnicodeDecodeError as error:
        raise BadInput(f"the body is not UTF-8: see byte {error.start + 1}") from None
    except ValueError as error:
        raise BadInput(f"the body is not JSON: {error}") from None


def answer(content: Mapping[str, Any], status: int = 200, **headers: str) -> Response:
    """A JSON response; an underscore in a header's name stands for a dash."""
    response = jsonify(content)
    response.status_code = status
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response
