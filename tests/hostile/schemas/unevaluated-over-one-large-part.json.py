"""Three hundred times `unevaluatedProperties` over three thousand parts."""

import json

large = {"allOf": [{"type": "object"}] * 3_000}
uses = [{"unevaluatedProperties": False, "$ref": "#/$defs/large"}] * 300
print(json.dumps({"$defs": {"large": large}, "anyOf": uses}))
