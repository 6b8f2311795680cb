"""A million empty shared texts."""

from _workbook import show

show("<row/>", strings="<si/>" * 1_000_000)
