"""One row of 90,000 separators."""

print("review,prompt,question")
print("x,x,x", "," * 90_000, sep="")
