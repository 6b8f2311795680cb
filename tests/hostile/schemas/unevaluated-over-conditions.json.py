"""`unevaluatedProperties` over references that double in `if` and `then`."""

import json

LENGTH = 22
parts = {
    f"d{n}": {"if": {"$ref": f"#/$defs/d{n + 1}"}, "then": {"$ref": f"#/$defs/d{n + 1}"}}
    for n in range(LENGTH)
}
parts[f"d{LENGTH}"] = {"type": "object"}
print(json.dumps({"unevaluatedProperties": False, "$ref": "#/$defs/d0", "$defs": parts}))
