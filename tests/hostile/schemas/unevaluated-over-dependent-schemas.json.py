"""`unevaluatedProperties` over references that double in `dependentSchemas`."""

import json

LENGTH = 22
parts = {
    f"d{n}": {"dependentSchemas": {name: {"$ref": f"#/$defs/d{n + 1}"} for name in "ab"}}
    for n in range(LENGTH)
}
parts[f"d{LENGTH}"] = {"type": "object"}
print(json.dumps({"unevaluatedProperties": False, "$ref": "#/$defs/d0", "$defs": parts}))
