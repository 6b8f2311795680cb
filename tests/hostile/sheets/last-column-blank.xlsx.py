"""Rows whose only cell is a space in the last column."""

from _workbook import show

show('<row><c r="XFD1" t="str"><v> </v></c></row>' * 5_000, size=95_000)
