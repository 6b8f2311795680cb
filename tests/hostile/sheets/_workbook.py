"""A workbook that is written by hand, so that it can hold what no spreadsheet would write."""

import io
import random
import sys
from zipfile import ZIP_DEFLATED, ZipFile

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
SHEET = "xl/worksheets/sheet1.xml"
# The columns that one of the doors needs, so that no file is refused for its header.
HEADER = "<row>" + "".join(f'<c t="str"><v>{name}</v></c>' for name in ("review", "prompt", "question"))
END = "</row>"


def show(
    rows: str, *, more_columns: str = "", after: str = "", strings: str = "", styles: str = "", size: int = 0
) -> None:
    """Print a workbook with the header, more columns of it, and the XML of further rows.

    `after` follows the rows, `strings` are the shared ones. Random bytes that nobody reads make it as large
    as `size`, because what a file may cost depends on its size.
    """
    data = f"<sheetData>{HEADER}{more_columns}{END}{rows}</sheetData>"
    parts = {
        "_rels/.rels": _relationships(officeDocument="xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="a" sheetId="1" r:id="worksheet"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _relationships(
            worksheet="worksheets/sheet1.xml", sharedStrings="sharedStrings.xml", styles="styles.xml"
        ),
        "xl/sharedStrings.xml": f"<sst {MAIN}>{strings}</sst>",
        "xl/styles.xml": f"<styleSheet {MAIN}>{styles}</styleSheet>",
        SHEET: f"<worksheet {MAIN}>{data}{after}</worksheet>",
    }
    file = io.BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        archive.writestr("padding", random.Random(1).randbytes(max(0, size - file.tell())))
    sys.stdout.buffer.write(file.getvalue())


def _relationships(**parts: str) -> str:
    inside = "".join(
        f'<Relationship Id="{kind}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for kind, target in parts.items()
    )
    return f'<Relationships xmlns="{PACKAGE}">{inside}</Relationships>'
