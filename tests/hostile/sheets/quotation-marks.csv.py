"""Quotation marks alone, at every place where a cell may begin."""

print("review,prompt,question,", ',"' * 49_000, sep="", end="")
