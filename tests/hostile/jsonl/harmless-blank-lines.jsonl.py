"""Half a million blank lines before a record."""

print("\n" * 500_000 + '{"review": "x", "prompt": "y"}')
