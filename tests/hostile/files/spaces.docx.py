"""A hundred megabytes of spaces in a text."""

from _word import write

write("<w:p><w:r><w:t>" + " " * 100_000_000 + "</w:t></w:r></w:p>")
