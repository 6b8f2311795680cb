"""As deep as the parser goes, in records."""

DEPTH = 960
print(
    '{"model": "simulated", "records": [{"messages": [{"role": "user", "content": ['
    + "[" * DEPTH
    + "]" * DEPTH
    + "]}]}]}"
)
