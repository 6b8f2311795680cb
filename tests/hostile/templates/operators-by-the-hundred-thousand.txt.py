"""One condition of 150,000 parts."""

print("{% if a" + " or a" * 25_000 + " %}{% endif %}", end="")
