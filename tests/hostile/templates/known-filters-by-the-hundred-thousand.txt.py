"""A chain of filters that exist."""

print("{{ a" + "|trim" * 31_000 + " }}", end="")
