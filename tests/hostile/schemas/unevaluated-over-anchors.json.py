"""`unevaluatedProperties` over references to anchors that double."""

import json

LENGTH = 22
parts = {f"d{n}": {"$anchor": f"d{n}", "allOf": [{"$ref": f"#d{n + 1}"}] * 2} for n in range(LENGTH)}
parts[f"d{LENGTH}"] = {"$anchor": f"d{LENGTH}", "type": "object"}
print(json.dumps({"unevaluatedProperties": False, "$ref": "#d0", "$defs": parts}))
