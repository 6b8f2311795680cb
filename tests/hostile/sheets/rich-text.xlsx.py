"""One shared text in a million parts."""

from _workbook import show

show("<row/>", strings="<si>" + "<r><t>a</t></r>" * 1_000_000 + "</si>")
