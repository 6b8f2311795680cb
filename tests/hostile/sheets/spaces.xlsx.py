"""Ninety megabytes of spaces between two rows."""

from _workbook import show

show(" " * 90_000_000)
