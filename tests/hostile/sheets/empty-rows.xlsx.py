"""A million rows without cells."""

from _workbook import show

show("<row/>" * 1_000_000)
