"""What a workbook says of its sheets: which one is to be read, and what its cells refer to."""

import posixpath
from dataclasses import dataclass
from datetime import datetime
from xml.parsers.expat import ExpatError
from zipfile import BadZipFile

from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH

from app.errors import BadInput
from app.ingest.sheets.choosing import Listed, choose
from app.ingest.xlsx.archive import Archive
from app.ingest.xlsx.markup import names, read
from app.ingest.xlsx.styles import Styles, read_styles
from app.ingest.xlsx.texts import read_strings

RELATIONSHIP = "http://schemas.openxmlformats.org/package/2006/relationships Relationship"
ID = (
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships id",
    "http://purl.oclc.org/ooxml/officeDocument/relationships id",
)
TAGS = names("workbookPr", "sheet", "calcPr")
TRUE = ("1", "true")


@dataclass(frozen=True, slots=True)
class Workbook:
    """The sheet that is to be read, and what its cells refer to."""

    sheet: str  # the name of its part
    name: str
    names: list[str]  # of all sheets, in their order
    shown: list[str]  # of these that are not hidden
    is_uncalculated: bool  # its program left the formulas to the next one
    is_unstyled: bool  # its styles cannot be read, so numbers and dates are as they are stored
    epoch: datetime
    strings: list[str]
    styles: Styles


def read_workbook(archive: Archive, wanted: str | None = None) -> Workbook:
    """The workbook with the sheet of the name (or place) `wanted`, by default the first one that is shown.

    Raises `BadInput` for a workbook without such a sheet.
    """
    related, sheets = _read_main(archive)
    strings, styles = related.one("sharedStrings"), _styles(archive, related.one("styles"))
    tables = _tables(related, sheets)
    chosen = choose(tables, wanted)
    return Workbook(
        related.name("worksheet", chosen.key),
        chosen.name,
        [sheet.name for sheet in tables],
        [sheet.name for sheet in tables if sheet.is_shown],
        sheets.is_uncalculated,
        styles is None,
        MAC_EPOCH if sheets.is_1904 else WINDOWS_EPOCH,
        [] if strings is None else read_strings(archive.whole(strings)),
        Styles() if styles is None else styles,
    )


def find_sheet(archive: Archive, wanted: str | None = None) -> str:
    """The name of that sheet's part in the archive; raises as `read_workbook` does."""
    related, sheets = _read_main(archive)
    return archive.part(related.name("worksheet", choose(_tables(related, sheets), wanted).key)).filename


def _styles(archive: Archive, name: str | None) -> Styles | None:
    """None for styles that cannot be read: they are the part that other programs get wrong."""
    if name is None:
        return Styles()
    try:
        return read_styles(archive.blocks(name))
    except (KeyError, BadZipFile, ExpatError):
        return None


def _read_main(archive: Archive) -> "tuple[_Related, _Sheets]":
    """What the main part refers to, and the sheets that it lists."""
    main = _Related(archive, "").one("officeDocument")
    if main is None:
        raise BadInput("the file cannot be read as XLSX: it names no workbook")
    related, sheets = _Related(archive, main), _Sheets()
    read(archive.blocks(main), sheets.start)
    return related, sheets


def _tables(related: "_Related", sheets: "_Sheets") -> list[Listed]:
    """The sheets with cells."""
    return [sheet for sheet in sheets.found if related.has("worksheet", sheet.key)]


class _Related:
    """The parts that a part, or the archive itself, refers to."""

    def __init__(self, archive: Archive, part: str) -> None:
        self._folder, name = posixpath.split(part)
        self._parts: dict[tuple[str, str], str] = {}  # kind and id -> name
        read(archive.blocks(posixpath.join(self._folder, "_rels", f"{name}.rels")), self._start)

    def one(self, kind: str) -> str | None:
        """The name of the first part of a kind."""
        return next((name for (found, _), name in self._parts.items() if found == kind), None)

    def has(self, kind: str, key: str) -> bool:
        return (kind, key) in self._parts

    def name(self, kind: str, key: str) -> str:
        return self._parts[kind, key]

    def _start(self, tag: str, given: dict[str, str]) -> None:
        if tag == RELATIONSHIP and given.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", self._folder, given["Target"]))
            self._parts[posixpath.basename(given["Type"]), given["Id"]] = target.lstrip("/")


class _Sheets:
    """The sheets in their order."""

    def __init__(self) -> None:
        self.found: list[Listed] = []
        self.is_1904 = self.is_uncalculated = False

    def start(self, name: str, given: dict[str, str]) -> None:
        tag = TAGS.get(name)
        if tag == "workbookPr":
            self.is_1904 = given.get("date1904") in TRUE
        elif tag == "calcPr":
            self.is_uncalculated = given.get("fullCalcOnLoad") in TRUE
        elif tag == "sheet":
            is_shown = given.get("state", "visible") == "visible"
            keys = [given[key] for key in ID if key in given]
            self.found += [Listed(given.get("name", ""), key, is_shown) for key in keys[:1]]
