"""Braces that open nothing."""

print("{ " * 81_000 + "{{ nothing|x }}", end="")
