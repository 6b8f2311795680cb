"""As many cells as a reader that lays them all out still takes: two gigabytes of them."""

from _open_document import write

write(
    '<table:table-row table:number-rows-repeated="900000"><table:table-cell'
    ' table:number-columns-repeated="100" office:value-type="float" office:value="1"/></table:table-row>'
)
