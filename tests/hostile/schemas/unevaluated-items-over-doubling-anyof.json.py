"""`unevaluatedItems` over references that double in `anyOf`."""

import json

LENGTH = 22
parts = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(LENGTH)}
parts[f"d{LENGTH}"] = {"type": "array"}
print(json.dumps({"unevaluatedItems": False, "$ref": "#/$defs/d0", "$defs": parts}))
