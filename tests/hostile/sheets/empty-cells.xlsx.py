"""A million cells without content, in rows of ten."""

from _workbook import show

show(("<row>" + "<c/>" * 10 + "</row>") * 100_000)
