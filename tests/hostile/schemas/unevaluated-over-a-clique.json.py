"""`unevaluatedProperties` over ten parts each of which refers to all: a copy for each order of them."""

import json

NAMES = [f"#/$defs/d{n}" for n in range(10)]
parts = {f"d{n}": {"allOf": [{"$ref": name} for name in NAMES]} for n in range(10)}
print(json.dumps({"unevaluatedProperties": False, "$ref": NAMES[0], "$defs": parts}))
