"""A number that no float can be."""

from _workbook import show

show("<row><c><v>1e400</v></c></row>")
