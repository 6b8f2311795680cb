"""`unevaluatedProperties` over references that double eighteen times."""

import json

LENGTH = 18
parts = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(LENGTH)}
parts[f"d{LENGTH}"] = {"type": "object"}
print(json.dumps({"unevaluatedProperties": False, "$ref": "#/$defs/d0", "$defs": parts}))
