"""Ten thousand formats that are slow to recognise as dates."""

from _workbook import show

slow = "[h" * 450

show(
    "<row/>",
    styles="<numFmts>"
    + "".join(f'<numFmt numFmtId="{n}" formatCode="{slow}"/>' for n in range(10_000))
    + "</numFmts><cellXfs>"
    + "".join(f'<xf numFmtId="{n}"/>' for n in range(10_000))
    + "</cellXfs>",
)
