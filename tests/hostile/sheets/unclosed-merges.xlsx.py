"""Beginnings of merged cells without an end: each may be searched for what follows."""

from _workbook import show

show("", after="<!--" + "mergeCell " * 400_000 + "-->")
