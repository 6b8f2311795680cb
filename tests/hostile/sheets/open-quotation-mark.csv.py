"""A quotation mark that is never closed."""

print("review,prompt,question")
print('"' + "x,\n" * 30_000)
