"""Two hundred thousand conditions, each within the one before."""

print("{% if a %}" * 100_000, end="")
