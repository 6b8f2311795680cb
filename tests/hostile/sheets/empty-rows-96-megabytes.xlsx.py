"""Sixteen million rows without cells."""

from _workbook import show

show("<row/>" * 16_000_000)
