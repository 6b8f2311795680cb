"""A short text that is said to be in each of a million rows."""

from _open_document import write

write(
    '<table:table-row table:number-rows-repeated="1000000"><table:table-cell office:value-type="string">'
    "<text:p>x</text:p></table:table-cell></table:table-row>"
)
