"""Braces that open nothing."""

print("{ " * 490_000 + "{{ nothing|x }}", end="")
