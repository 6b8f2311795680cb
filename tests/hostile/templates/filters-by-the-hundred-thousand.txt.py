"""A chain of 490,000 filters."""

print("{{ a" + "|x" * 490_000 + " }}", end="")
