"""Twenty thousand references, each to the next one."""

import json

LENGTH = 20_000
parts = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(LENGTH)}
print(json.dumps({"$ref": "#/$defs/d0", "$defs": {**parts, f"d{LENGTH}": {}}}))
