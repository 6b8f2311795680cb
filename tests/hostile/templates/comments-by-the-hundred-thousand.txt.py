"""A quarter of a million comments."""

print("{##}" * 250_000, end="")
