"""Parts of parts of a column."""

print("{{ a" + "[0]" * 300_000 + " }}", end="")
