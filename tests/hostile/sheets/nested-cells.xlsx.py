"""Cells in cells, half a million deep."""

from _workbook import show

show("<row>" + "<c>" * 500_000 + "</c>" * 500_000 + "</row>")
