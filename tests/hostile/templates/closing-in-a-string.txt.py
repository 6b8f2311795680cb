"""A tag that seems to end in a string, and goes on."""

print("{{ '}}'" + "|x" * 490_000 + " }}", end="")
