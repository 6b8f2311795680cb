"""A header of 49,000 columns."""

print("review,prompt,question,", ",".join("x" * 49_000), sep="")
