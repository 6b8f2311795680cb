"""Six hundred thousand cells that are all the same one."""

from _workbook import show

show("<row>" + '<c r="A2"><v>1</v></c>' * 600_000 + "</row>")
