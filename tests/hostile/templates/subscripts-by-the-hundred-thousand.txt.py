"""Parts of parts of a column."""

print("{{ a" + "[0]" * 50_000 + " }}", end="")
