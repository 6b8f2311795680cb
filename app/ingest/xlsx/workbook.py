"""What a workbook says of its sheets: which one is shown first, and what its cells refer to."""

import posixpath
from dataclasses import dataclass
from datetime import datetime

from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH

from app.errors import BadInput
from app.ingest.xlsx.archive import Archive
from app.ingest.xlsx.markup import names, read
from app.ingest.xlsx.styles import Styles, read_styles
from app.ingest.xlsx.texts import read_strings

RELATIONSHIP = "http://schemas.openxmlformats.org/package/2006/relationships Relationship"
ID = (
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships id",
    "http://purl.oclc.org/ooxml/officeDocument/relationships id",
)
TAGS = names("workbookPr", "sheet")


@dataclass(frozen=True, slots=True)
class Workbook:
    """The first visible sheet, and what its cells refer to."""

    sheet: str  # the name of its part
    epoch: datetime
    strings: list[str]
    styles: Styles


def read_workbook(archive: Archive) -> Workbook:
    """Raises `BadInput` for a workbook without a visible sheet."""
    related, sheets = _read_main(archive)
    strings, styles = related.one("sharedStrings"), related.one("styles")
    return Workbook(
        related.first("worksheet", sheets.visible),
        MAC_EPOCH if sheets.is_1904 else WINDOWS_EPOCH,
        [] if strings is None else read_strings(archive.whole(strings)),
        Styles() if styles is None else read_styles(archive.blocks(styles)),
    )


def find_sheet(archive: Archive) -> str:
    """The name of the part that is the first visible sheet; raises as `read_workbook` does."""
    related, sheets = _read_main(archive)
    return related.first("worksheet", sheets.visible)


def _read_main(archive: Archive) -> "tuple[_Related, _Sheets]":
    """What the main part refers to, and the sheets that it lists."""
    main = _Related(archive, "").one("officeDocument")
    if main is None:
        raise BadInput("the file cannot be read as XLSX: it names no workbook")
    related, sheets = _Related(archive, main), _Sheets()
    read(archive.blocks(main), sheets.start)
    return related, sheets


class _Related:
    """The parts that a part, or the archive itself, refers to."""

    def __init__(self, archive: Archive, part: str) -> None:
        self._folder, name = posixpath.split(part)
        self._parts: dict[tuple[str, str], str] = {}  # kind and id -> name
        read(archive.blocks(posixpath.join(self._folder, "_rels", f"{name}.rels")), self._start)

    def one(self, kind: str) -> str | None:
        """The name of the first part of a kind."""
        return next((name for (found, _), name in self._parts.items() if found == kind), None)

    def first(self, kind: str, ids: list[str]) -> str:
        """The name of the first part among `ids` that is of a kind."""
        for key in ids:
            if (kind, key) in self._parts:
                return self._parts[kind, key]
        raise BadInput("the file has no sheet with cells")

    def _start(self, tag: str, given: dict[str, str]) -> None:
        if tag == RELATIONSHIP and given.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", self._folder, given["Target"]))
            self._parts[posixpath.basename(given["Type"]), given["Id"]] = target.lstrip("/")


class _Sheets:
    """The ids of the sheets that are shown, in their order."""

    def __init__(self) -> None:
        self.visible: list[str] = []
        self.is_1904 = False

    def start(self, name: str, given: dict[str, str]) -> None:
        tag = TAGS.get(name)
        if tag == "workbookPr":
            self.is_1904 = given.get("date1904") in ("1", "true")
        elif tag == "sheet" and given.get("state", "visible") == "visible":
            self.visible.extend(given[key] for key in ID if key in given)
