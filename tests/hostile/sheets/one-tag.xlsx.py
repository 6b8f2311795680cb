"""One tag of three hundred thousand attributes."""

from _workbook import show

show("<row><c " + " ".join(f'a{n}=""' for n in range(300_000)) + "/></row>")
