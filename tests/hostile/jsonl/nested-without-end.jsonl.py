"""A line of a hundred thousand brackets."""

print("[1,{" * 50_000)
