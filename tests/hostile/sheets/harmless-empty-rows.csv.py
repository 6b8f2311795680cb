"""Ninety thousand empty rows."""

print("review,prompt,question")
print("\n" * 90_000 + "x,x,x")
