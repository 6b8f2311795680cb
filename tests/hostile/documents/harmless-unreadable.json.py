"""Two thousand documents that are no base64."""

import json

print(json.dumps([{"filename": "a", "content": "?"}] * 2_000))
