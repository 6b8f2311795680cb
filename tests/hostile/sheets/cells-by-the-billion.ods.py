"""One cell that is said to be in each of a million rows and sixteen thousand columns."""

from _open_document import write

write(
    '<table:table-row table:number-rows-repeated="1000000"><table:table-cell'
    ' table:number-columns-repeated="16000" office:value-type="float" office:value="1"/></table:table-row>'
)
