"""As deep as the parser goes, in options."""

DEPTH = 960
print(
    '{"requests": [{"text": "ten characters", "operation": "summarize", "options": {"a": '
    + "[" * DEPTH
    + "]" * DEPTH
    + "}}]}"
)
