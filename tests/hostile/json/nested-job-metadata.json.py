"""As deep as the parser goes, in job-metadata."""

DEPTH = 960
print(
    '{"model": "simulated", "records": [{"prompt": "x"}], "metadata": {"a": '
    + "[" * DEPTH
    + "]" * DEPTH
    + "}}"
)
