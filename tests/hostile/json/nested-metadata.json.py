"""As deep as the parser goes, in metadata."""

DEPTH = 960
print('{"data": [{"prompt": "x"}], "metadata": {"a": ' + "[" * DEPTH + "]" * DEPTH + "}}")
