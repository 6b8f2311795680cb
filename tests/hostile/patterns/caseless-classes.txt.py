"""A thousand classes of characters without regard to case."""

print("(?i:[\\x{100}-\\x{FFFF}])" * 1_000)
