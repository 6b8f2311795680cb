"""A hundred thousand numbers to choose from."""

import json

print(json.dumps({"enum": list(range(100_000))}))
