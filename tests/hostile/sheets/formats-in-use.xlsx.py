"""Ten thousand formats of numbers, each used by a cell."""

from _workbook import show

show(
    "".join(f'<row><c s="{n}"><v>1.5</v></c></row>' for n in range(10_000)),
    styles="<numFmts>"
    + "".join(f'<numFmt numFmtId="{n + 200}" formatCode="{"0#?.,%" * 30}"/>' for n in range(10_000))
    + "</numFmts><cellXfs>"
    + "".join(f'<xf numFmtId="{n + 200}"/>' for n in range(10_000))
    + "</cellXfs>",
)
