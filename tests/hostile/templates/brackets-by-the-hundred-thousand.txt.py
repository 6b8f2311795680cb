"""Half a million brackets that are never closed."""

print("{{ " + "(" * 150_000, end="")
