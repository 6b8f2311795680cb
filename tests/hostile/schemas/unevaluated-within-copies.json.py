"""A small doubling in each copy of another small doubling."""

import json


def doubling(name, length, last):
    parts = {f"{name}{n}": {"allOf": [{"$ref": f"#/$defs/{name}{n + 1}"}] * 2} for n in range(length)}
    return {**parts, f"{name}{length}": last}


inner = {"unevaluatedProperties": False, "$ref": "#/$defs/e0"}
outer = doubling("d", 10, {"anyOf": [{"properties": {"a": inner}}]})
parts = {**outer, **doubling("e", 10, {"type": "object"})}
print(json.dumps({"unevaluatedProperties": False, "$ref": "#/$defs/d0", "$defs": parts}))
