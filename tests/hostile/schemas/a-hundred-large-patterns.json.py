"""A hundred patterns that take a megabyte each once they are compiled."""

import json

print(json.dumps({"allOf": [{"pattern": f"\\pL{{22}}{n}"} for n in range(100)]}))
