"""Two hundred megabytes of spaces between two tags."""

from _open_document import write

write(" " * 200_000_000)
