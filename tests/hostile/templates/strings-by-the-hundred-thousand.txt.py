"""Strings side by side, which are joined."""

print("{{ " + "'' " * 300_000 + "}}", end="")
