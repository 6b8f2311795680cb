"""Rows in the wrong order."""

from _workbook import show

show('<row r="9"><c><v>1</v></c></row><row r="8"><c><v>1</v></c></row>')
