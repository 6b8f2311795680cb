"""`unevaluatedProperties` over a chain of three thousand references: a compiler copies them on its stack."""

import json

LENGTH = 3_000
parts = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}]} for n in range(LENGTH)}
parts[f"d{LENGTH}"] = {"type": "object"}
print(json.dumps({"unevaluatedProperties": False, "$ref": "#/$defs/d0", "$defs": parts}))
