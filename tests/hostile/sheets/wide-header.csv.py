"""A header of 8,000 columns above short rows."""

print("review,prompt,question,", ",".join(f"c{n}" for n in range(8_000)), sep="")
print("1\n" * 25_000, end="")
