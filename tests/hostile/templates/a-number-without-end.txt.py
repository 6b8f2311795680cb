"""A number of 150,000 hexadecimal digits."""

print("{{ 0x" + "f" * 150_000 + " }}", end="")
