"""Twenty thousand properties, all required."""

import json

names = [f"p{n}" for n in range(20_000)]
print(json.dumps({"properties": {name: {"type": "string"} for name in names}, "required": names}))
