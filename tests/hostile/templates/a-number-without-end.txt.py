"""A number of 900,000 hexadecimal digits."""

print("{{ 0x" + "f" * 900_000 + " }}", end="")
