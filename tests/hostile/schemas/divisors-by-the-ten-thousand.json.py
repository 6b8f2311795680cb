"""Thirty thousand divisors that are far below one."""

import json

print(json.dumps({"allOf": [{"multipleOf": 1e-300}] * 30_000}))
