"""Servers that do not answer: a process's log says it once when one goes, and once when it is back."""
