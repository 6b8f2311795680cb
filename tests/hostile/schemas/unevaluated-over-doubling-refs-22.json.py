"""`unevaluatedProperties` over references that double twenty-two times."""

import json

LAST = 22
names = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(LAST)}
print(
    json.dumps(
        {
            "unevaluatedProperties": False,
            "$ref": "#/$defs/d0",
            "$defs": {**names, f"d{LAST}": {"type": "object"}},
        }
    )
)
