"""Where a cell stands: A1 is the first one."""

MAX_ROWS, MAX_COLUMNS = 1_048_576, 16_384  # Excel's own
DIGITS = "0123456789"


def column_number(letters: str) -> int:
    """The number of a column, A being 1; raises `ValueError` for one that no sheet has."""
    number = 0
    for letter in letters.replace("$", "").upper()[:4]:
        if not "A" <= letter <= "Z":
            raise ValueError(f"it has a cell in column {letters[:20]!r}")
        number = 26 * number + ord(letter) - ord("A") + 1
    if not 0 < number <= MAX_COLUMNS:
        raise ValueError(f"it has a cell in column {letters[:20]!r}; the last one is XFD")
    return number


def row_number(text: str) -> int:
    """Some writers give it a decimal point."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise
        return int(number)
