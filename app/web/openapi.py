"""What the OpenAPI document says of bodies beyond what apispec reads from their schemas."""

from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import fields

KEYWORDS = ("contentEncoding", "contentMediaType")  # of JSON Schema, in a field's metadata
CONTENT = "contentSchema"  # the same, but a list of schemas: the text is the JSON of one of them
END = r"\Z"  # of a text, for Python


class Converter(OpenAPIConverter):
    """Writes `Meta.keywords` of a schema too, what its fields together must be in terms of JSON Schema."""

    def init_attribute_functions(self) -> None:
        super().init_attribute_functions()  # type: ignore[no-untyped-call]
        self.attribute_functions += [self.field2keywords, self.field2anchors]

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        found = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        return {**found, **getattr(schema.Meta, "keywords", {})}

    def field2keywords(self, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
        found = {name: field.metadata[name] for name in KEYWORDS if name in field.metadata}
        schemas = [self.resolve_nested_schema(one) for one in field.metadata.get(CONTENT, ())]  # type: ignore[no-untyped-call]
        return {**found, CONTENT: {"anyOf": schemas}} if schemas else found

    def field2anchors(self, _: fields.Field[Any], ret: dict[str, Any]) -> dict[str, str]:
        """Python matches from the start of a text, JSON Schema anywhere."""
        pattern = ret.get("pattern", "")
        return {"pattern": f"^{pattern.removesuffix(END)}$"} if pattern.endswith(END) else {}


class Plugin(MarshmallowPlugin):
    Converter = Converter
