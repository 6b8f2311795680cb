"""Four thousand shorthands, which are replaced one after the other."""

print("\\w" * 4_000)
