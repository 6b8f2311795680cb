"""Two and a half thousand documents of two bytes."""

import json

print(json.dumps([{"filename": "a", "content": "aGk="}] * 2_500))
