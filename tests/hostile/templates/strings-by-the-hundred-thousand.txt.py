"""Strings side by side, which are joined."""

print("{{ " + "'' " * 50_000 + "}}", end="")
