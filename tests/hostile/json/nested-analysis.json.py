"""As deep as the parser goes, in analysis."""

DEPTH = 960
print('{"records": [{"notes": [], "structured_data": {"data": {"a": ' + "[" * DEPTH + "]" * DEPTH + "}}}]}")
