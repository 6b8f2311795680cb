"""A comment of ten megabytes."""

from _workbook import show

show("<!--" + "x" * 10_000_000 + "-->", size=60_000)
