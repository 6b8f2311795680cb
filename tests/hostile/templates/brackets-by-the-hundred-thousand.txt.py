"""Half a million brackets that are never closed."""

print("{{ " + "(" * 900_000, end="")
