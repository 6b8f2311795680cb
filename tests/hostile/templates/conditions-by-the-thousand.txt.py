"""Two hundred thousand conditions, each within the one before."""

print("{% if a %}" * 16_000, end="")
