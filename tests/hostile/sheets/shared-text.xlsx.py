"""A text of 900 kB that ten thousand rows share."""

from _workbook import show

show('<row><c t="s"><v>0</v></c></row>' * 10_000, strings="<si><t>" + "a" * 900_000 + "</t></si>")
