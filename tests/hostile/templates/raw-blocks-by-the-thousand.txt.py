"""Blocks in which nothing is a tag."""

print("{% raw %}{% endraw %}" * 45_000, end="")
