"""`unevaluatedProperties` over dynamic references that double."""

import json

LENGTH = 22
parts = {
    f"d{n}": {"$dynamicAnchor": f"d{n}", "allOf": [{"$dynamicRef": f"#d{n + 1}"}] * 2} for n in range(LENGTH)
}
parts[f"d{LENGTH}"] = {"$dynamicAnchor": f"d{LENGTH}", "type": "object"}
print(json.dumps({"unevaluatedProperties": False, "$ref": "#d0", "$defs": parts}))
