"""A tag full of spaces."""

print("{{" + " " * 165_000 + "a|x }}", end="")
