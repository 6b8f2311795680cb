"""Merged cells in every column, to be carried down into thousands of short rows."""

from _workbook import show


def letters(number: int) -> str:
    return ("" if number < 26 else letters(number // 26 - 1)) + chr(ord("A") + number % 26)


columns = [letters(number) for number in range(5_000)]

show(
    "<row>"
    + "".join(f'<c t="str"><v>{name}</v></c>' for name in columns)
    + "</row>"
    + '<row><c t="str"><v>x</v></c></row>' * 20_000,
    after="<mergeCells>"
    + "".join(f'<mergeCell ref="{name}2:{name}30000"/>' for name in columns)
    + "</mergeCells>",
)
