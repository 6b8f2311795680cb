"""A style for dates in a workbook that is given back; its own styles stay as they are."""

import re
from dataclasses import dataclass

from app.errors import BadInput
from app.ingest.xlsx.archive import Archive

STYLES = "xl/styles.xml"
LONGEST = 20_000_000  # bytes; dates are texts in a workbook with more styles than that

_FORMATS = re.compile(rb"<((?:\w+:)?)cellXfs\b[^>]*>(.*?)</\1cellXfs\s*>", re.DOTALL)
_COUNT = re.compile(rb"(\scount\s*=\s*[\"'])\d+")
_ADDED = b'<%sxf numFmtId="14" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'


@dataclass(frozen=True, slots=True)
class WithDates:
    """The part with the styles, and the number of the one for dates."""

    part: str
    content: bytes
    date_style: str


def with_dates(archive: Archive) -> WithDates | None:
    """The workbook's styles and one for dates, in the reader's own short form; None where it has none."""
    try:
        part = archive.part(STYLES)
        content = b"".join(archive.whole(STYLES)) if part.file_size <= LONGEST else b""
    except (KeyError, BadInput):
        return None
    found = _FORMATS.search(content)
    if found is None:
        return None
    prefix, formats = found[1], found[2]
    number = len(re.findall(rb"<%sxf\b" % re.escape(prefix), formats))
    start = content[found.start() : found.start(2)]
    start = _COUNT.sub(rb"\g<1>%d" % (number + 1), start, count=1)
    head, tail = content[: found.start()], content[found.end(2) :]
    return WithDates(part.filename, head + start + formats + _ADDED % prefix + tail, str(number))
