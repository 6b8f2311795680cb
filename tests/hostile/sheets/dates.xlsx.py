"""A hundred and fifty thousand dates."""

from _workbook import show

show(
    ("<row>" + '<c s="0"><v>1.5</v></c>' * 10 + "</row>") * 15_000,
    styles='<cellXfs><xf numFmtId="22"/></cellXfs>',
)
