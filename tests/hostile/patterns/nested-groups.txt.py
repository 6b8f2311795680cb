"""Five thousand groups, each within the one before."""

print("(" * 5_000 + "a" + ")" * 5_000)
