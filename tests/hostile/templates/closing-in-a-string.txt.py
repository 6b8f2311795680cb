"""A tag that seems to end in a string, and goes on."""

print("{{ '}}'" + "|x" * 81_000 + " }}", end="")
