"""A chain of filters that exist."""

print("{{ a" + "|trim" * 190_000 + " }}", end="")
