"""Blueprints that parse arguments strictly and document errors in their contract's shape."""

import http
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn, TypeVar

import marshmallow as ma
from flask import Request
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import fields
from webargs.flaskparser import FlaskParser

from app.core.webhooks import urls
from app.web.bodies import IGNORED, ignore, read_json, require_json
from app.web.errors import refuse_invalid

View = TypeVar("View", bound=Callable[..., Any])


class Parser(FlaskParser):
    """Rejects unknown names everywhere, and JSON extensions that Python accepts."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": ma.RAISE, "query": ma.RAISE}  # noqa: RUF012 - webargs' own

    def _raw_load_json(self, req: Request) -> Any:
        require_json(req)
        return read_json(req.get_data())

    def handle_error(self, error: ma.ValidationError, *_: Any, **__: Any) -> NoReturn:
        # The first level is where the arguments were: `query` or `json`.
        for location, messages in error.messages_dict.items():
            inner = messages if isinstance(messages, Mapping) else {"_schema": messages}
            refuse_invalid(ma.ValidationError(dict(inner)), "body" if location == "json" else location)
        raise AssertionError("unreachable: an error without messages")


class LenientParser(Parser):
    """Ignores unknown parameters of a query, and names them in the response."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": ma.RAISE, "query": ma.EXCLUDE}  # noqa: RUF012 - webargs' own

    def pre_load(
        self, location_data: Mapping[str, Any], *, schema: ma.Schema, req: Request, location: str
    ) -> Mapping[str, Any]:
        if location == "query":
            taken = {field.data_key or name for name, field in schema.load_fields.items()}
            ignore(f"?{name}" for name in location_data if name not in taken)
        return location_data


class Blueprint(SmorestBlueprint):
    """The routes of one contract, under a tag of their own in the OpenAPI document.

    `errors` is the schema of its errors, unless it is the native one, and `invalid` that of a 422, unless it
    is the same. A `lenient` contract ignores unknown parameters of its queries, and fields of bodies that are
    `Lenient`.
    """

    ARGUMENTS_PARSER = Parser()

    def __init__(
        self,
        *names: str,
        errors: type[ma.Schema] | None = None,
        invalid: type[ma.Schema] | None = None,
        lenient: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(*names, **options)
        if lenient:
            self.ARGUMENTS_PARSER = LenientParser()
            self._prepare_doc_cbks.append(_document_ignored)
        self._errors, self._invalid = errors, invalid or errors
        self._prepare_doc_cbks.append(self._document_errors)

    def arguments(self, schema: Any, *, location: str = "json", **options: Any) -> Callable[[View], View]:
        """As flask-smorest's; a body may also be too large, or in another form."""
        parsed: Callable[[View], View] = super().arguments(schema, location=location, **options)
        if location != "json":
            return parsed

        def documented(view: View) -> View:
            for status in (413, 415):
                view = self.alt_response(status, http.HTTPStatus(status).name)(view)
            return parsed(view)

        return documented

    def register_views_in_doc(self, api: Any, *documented: Any, **options: Any) -> None:
        """Has the views described when `api`, a `Contract`, is first asked for its document."""
        api.describe_later(partial(super().register_views_in_doc, api, *documented, **options))

    def _document_errors(self, doc: dict[str, Any], info: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Document the refusals that `needs` and `arguments` list by name, in this contract's shape."""
        responses = doc.get("responses", {}), info.get("manual_doc", {}).get("responses", {})
        for some in responses if self._errors else ():
            for status, response in some.items():
                if isinstance(response, str):
                    shape = self._invalid if str(status) == "422" else self._errors
                    content = {"application/json": {"schema": shape}}
                    known = str(status).isdigit()  # or `default`
                    phrase = http.HTTPStatus(int(status)).phrase if known else "Any other error"
                    some[status] = {"description": phrase, "content": content}
        return doc


def _document_ignored(doc: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
    """Document the header that names what was ignored."""
    header = {
        "description": "Fields and parameters of the request that were ignored, such as `requests[].colour`.",
        "schema": {"type": "string"},
    }
    for status, response in doc.get("responses", {}).items():
        if str(status).startswith("2"):
            response["headers"] = {**response.get("headers", {}), IGNORED: header}
    return doc


class Lenient(ma.Schema):
    """A body whose unknown fields are ignored, as the OpenAPI document allows: see `app.web.bodies.known`."""

    class Meta:
        unknown = ma.EXCLUDE


class ShortList(fields.List[Any]):
    """A list of which the length is checked before any item is: a long one costs what its items do.

    `error` is the message for a list that has less than `least` items or more than `most`.
    """

    def __init__(self, item: Any, *, least: int = 0, most: int, error: str, **options: Any) -> None:
        super().__init__(item, validate=ma.validate.Length(least, most, error=error), **options)
        self._check = ma.validate.Length(max=most, error=error)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list):
            self._check(value)
        return super()._deserialize(value, *args, **kwargs)


class Truth(fields.Boolean):
    """JSON's true or false; marshmallow takes 1 and 0 for them, too."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class PageSize(fields.Integer):
    """How many items a page of a list has at most."""

    def __init__(self, default: int, most: int) -> None:
        error = f"give a whole number from 1 to {most:,}; found {{input!r:.60}}"
        super().__init__(
            load_default=default,
            validate=ma.validate.Range(1, most, error=error),
            error_messages={"invalid": error, "too_large": error},
        )


class WebhookUrl(fields.String):
    """Where the end of the job is told."""

    def __init__(self) -> None:
        super().__init__(
            allow_none=True,
            validate=_check_webhook,
            error_messages={"invalid": "give an https:// URL as a string"},
            metadata={
                "format": "uri",
                "pattern": "^https?://[!-~]+$",
                "maxLength": urls.LONGEST,
                "example": "https://example.com/hooks/penstock",
                "description": "Sent a `job.*` event when the job has ended, none when it is paused. The"
                " secret that signs it is what `GET /api/v1/webhook-secret` shows.",
            },
        )


def _check_webhook(text: str) -> None:
    why = urls.refusal(text)
    if why is not None:
        raise ma.ValidationError(why)
