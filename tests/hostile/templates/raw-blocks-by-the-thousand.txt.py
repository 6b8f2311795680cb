"""Blocks in which nothing is a tag."""

print("{% raw %}{% endraw %}" * 7_000, end="")
