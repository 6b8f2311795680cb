"""`unevaluatedProperties` over parts with addresses of their own that double."""

import json

LENGTH = 22
BASE = "http://example.com/"
parts = {f"d{n}": {"$id": f"{BASE}d{n}", "allOf": [{"$ref": f"d{n + 1}"}] * 2} for n in range(LENGTH)}
parts[f"d{LENGTH}"] = {"$id": f"{BASE}d{LENGTH}", "type": "object"}
print(json.dumps({"unevaluatedProperties": False, "$ref": f"{BASE}d0", "$defs": parts}))
