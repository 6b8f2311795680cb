"""A choice of a hundred thousand words."""

print("|".join(map(str, range(100_000))))
