"""A list of numbers."""

print("{{ [" + "1," * 400_000 + "] }}", end="")
