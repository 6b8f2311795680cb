"""A header of 8,000 columns above short rows."""

from _workbook import show

show(
    "<row><c><v>1</v></c></row>" * 50_000,
    more_columns="".join(f'<c t="str"><v>c{n}</v></c>' for n in range(8_000)),
)
