"""Twenty megabytes of line breaks between two rows."""

from _workbook import show

show("\n" * 20_000_000, size=95_000)
