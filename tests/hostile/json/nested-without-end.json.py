"""A hundred thousand lists, each within the one before."""

print("[" * 100_000)
