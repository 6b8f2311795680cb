"""The parts of a workbook around its rows, as little of them as every spreadsheet accepts."""

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
FORMAT = "application/vnd.openxmlformats-officedocument.spreadsheetml"
DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

SHEET_END = "</sheetData></worksheet>"
DATE_STYLE = "1"  # of the two below; Excel's format 14 is the reader's own short date
STYLES = (
    f'{DECLARATION}<styleSheet xmlns="{MAIN}"><fonts count="1"><font><sz val="11"/><name val="Calibri"/>'
    '</font></fonts><fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill'
    ' patternType="gray125"/></fill></fills><borders count="1"><border/></borders><cellStyleXfs count="1">'
    '<xf/></cellStyleXfs><cellXfs count="2"><xf xfId="0"/><xf xfId="0" numFmtId="14" applyNumberFormat="1"/>'
    '</cellXfs><cellStyles count="1"><cellStyle'
    ' name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)


def sheet_name(number: int) -> str:
    """The name of the part that is sheet `number`, from 1 on."""
    return f"xl/worksheets/sheet{number}.xml"


def sheet_head(*, is_first: bool) -> str:
    """What comes before the rows. The first of them, the header, stays in sight."""
    return (
        f'{DECLARATION}<worksheet xmlns="{MAIN}"><sheetViews><sheetView tabSelected="{is_first:d}"'
        ' workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
        "</sheetView></sheetViews><sheetData>"
    )


def frame(sheets: int) -> dict[str, str]:
    """Every other part of a workbook of so many sheets, by name."""
    numbers = range(1, sheets + 1)
    own = [(f"s{number}", "worksheet", f"worksheets/sheet{number}.xml") for number in numbers]
    return {
        "xl/styles.xml": STYLES,
        "xl/workbook.xml": _workbook(sheets),
        "xl/_rels/workbook.xml.rels": _relationships([*own, ("styles", "styles", "styles.xml")]),
        "_rels/.rels": _relationships([("workbook", "officeDocument", "xl/workbook.xml")]),
        "[Content_Types].xml": _types(sheets),
    }


def column_letters(index: int) -> str:
    """The name of a column, `A` being that of index 0."""
    letters = ""
    number = index + 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


def _workbook(sheets: int) -> str:
    listed = "".join(
        f'<sheet name="answers{index or ""}" sheetId="{index + 1}" r:id="s{index + 1}"/>'
        for index in range(sheets)
    )
    return (
        f'{DECLARATION}<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><bookViews><workbookView/></bookViews>'
        f"<sheets>{listed}</sheets></workbook>"
    )


def _relationships(parts: list[tuple[str, str, str]]) -> str:
    listed = "".join(
        f'<Relationship Id="{key}" Type="{OFFICE}/{kind}" Target="{target}"/>' for key, kind, target in parts
    )
    return f'{DECLARATION}<Relationships xmlns="{PACKAGE}/relationships">{listed}</Relationships>'


def _types(sheets: int) -> str:
    parts = {f"/{sheet_name(number)}": "worksheet" for number in range(1, sheets + 1)}
    parts |= {"/xl/workbook.xml": "sheet.main", "/xl/styles.xml": "styles"}
    listed = "".join(
        f'<Override PartName="{name}" ContentType="{FORMAT}.{kind}+xml"/>' for name, kind in parts.items()
    )
    return (
        f'{DECLARATION}<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml"'
        f' ContentType="application/xml"/>{listed}</Types>'
    )
