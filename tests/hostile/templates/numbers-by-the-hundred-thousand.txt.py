"""A list of numbers."""

print("{{ [" + "1," * 66_000 + "] }}", end="")
