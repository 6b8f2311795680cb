"""What people write: strict objects that extend one another."""

import json

base = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
kinds = {
    name: {"allOf": [{"$ref": "#/$defs/base"}], "properties": {"n": {}}, "unevaluatedProperties": False}
    for name in ("a", "b", "c")
}
kinds["tree"] = {
    "$ref": "#/$defs/base",
    "properties": {"children": {"items": {"$ref": "#/$defs/tree"}}},
    "unevaluatedProperties": False,
}
print(
    json.dumps({"oneOf": [{"$ref": f"#/$defs/{name}"} for name in kinds], "$defs": {"base": base, **kinds}})
)
