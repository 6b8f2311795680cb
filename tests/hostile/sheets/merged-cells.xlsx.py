"""Fifty thousand merged rows."""

from _workbook import show

show(
    "",
    after="<mergeCells>"
    + "".join(f'<mergeCell ref="A{n}:XFD{n}"/>' for n in range(50_000))
    + "</mergeCells>",
)
