"""A header of long names above short rows."""

from _workbook import show

names = (f"{'x' * 900}{n}" for n in range(4_000))
show(
    "<row><c><v>1</v></c></row>" * 50_000,
    more_columns="".join(f'<c t="str"><v>{name}</v></c>' for name in names),
)
