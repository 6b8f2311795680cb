"""A tag full of spaces."""

print("{{" + " " * 990_000 + "a|x }}", end="")
