"""What the recipes of ODS files share."""

import io
import sys
import zipfile

TYPE = "application/vnd.oasis.opendocument.spreadsheet"
OASIS = "urn:oasis:names:tc:opendocument:xmlns"
HEAD = (
    f'<office:document-content xmlns:office="{OASIS}:office:1.0" xmlns:table="{OASIS}:table:1.0"'
    f' xmlns:text="{OASIS}:text:1.0" office:version="1.2"><office:body><office:spreadsheet>'
    '<table:table table:name="S"><table:table-column/>'
)
TAIL = "</table:table></office:spreadsheet></office:body></office:document-content>"
MANIFEST = (
    f'<manifest:manifest xmlns:manifest="{OASIS}:manifest:1.0"><manifest:file-entry'
    f' manifest:full-path="/" manifest:media-type="{TYPE}"/></manifest:manifest>'
)
REVIEW = (
    '<table:table-row><table:table-cell office:value-type="string"><text:p>review</text:p></table:table-cell>'
    "</table:table-row>"
)


def write(table: str) -> None:
    """Print a workbook with this XML in its table, below a header."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("mimetype", TYPE, zipfile.ZIP_STORED)
        archive.writestr("content.xml", f"{HEAD}{REVIEW}{table}{TAIL}")
        archive.writestr("META-INF/manifest.xml", MANIFEST)
    sys.stdout.buffer.write(out.getvalue())
