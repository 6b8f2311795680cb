"""Documents as a model takes them: the text of DOCX and HTML, and how many pages a PDF has."""

from collections.abc import Callable, Generator
from io import BufferedReader
from typing import Any, NamedTuple
from zipfile import ZipFile

from app.ingest.apart.frames import Asked, Shared

FREE_BYTES, BYTES_PER_BYTE = 5_000_000, 200  # that a DOCX may unpack to, for each of its own
XML, DECLARES, HEAD = (".xml", ".rels"), b"<!DOCTYPE", 4_096
FREE_TAGS, BYTES_PER_TAG = 5_000, 15  # of a page; real ones have a tag in 20 bytes or more
MAX_TEXT = 20_000_000  # characters
HIDDEN = ["script", "style", "noscript", "template", "head", "svg", "iframe", "object"]  # of a page


class Found(NamedTuple):
    """`fault`: why it cannot be read."""

    text: str | None = None
    pages: int | None = None
    fault: str | None = None


def work() -> Generator[Any, Asked, None]:
    """Is asked with a kind and the file, any number of times; answers with what is `Found`."""
    asked = yield None
    while True:
        asked = yield tuple(_found(asked.value, asked.opened()))


def _found(kind: str, file: Shared) -> Found:
    try:
        return _READ[kind](file)
    except MemoryError:
        raise
    except RecursionError:
        return Found(fault="it is nested too deeply")
    except Exception as error:  # of a library, about the file
        return Found(fault=f"it is damaged ({str(error)[:200] or type(error).__name__}): save it again")


def _pdf(file: Shared) -> Found:
    from pypdf import PdfReader

    reader = PdfReader(BufferedReader(file, 1_000_000))
    if reader.is_encrypted and not reader.decrypt(""):
        return Found(fault="it is protected by a password: save it without")
    return Found(pages=len(reader.pages))


def _docx(file: Shared) -> Found:
    content = BufferedReader(file, 1_000_000)
    with ZipFile(content) as archive:
        if fault := _fault_of(archive, file.size):
            return Found(fault=fault)
    import mammoth

    content.seek(0)
    page = mammoth.convert_to_html(content, convert_image=mammoth.images.img_element(lambda _: {}))
    return _text(page.value)


def _fault_of(archive: ZipFile, size: int) -> str | None:
    """Why an archive is not read at all. No writer declares entities, which may grow without end."""
    unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > FREE_BYTES + BYTES_PER_BYTE * size:
        return f"it unpacks to {unpacked:,} bytes, which is too much for its size"
    for part in archive.infolist():
        if part.filename.endswith(XML):
            with archive.open(part) as content:
                if DECLARES in content.read(HEAD):
                    return f"its part {part.filename[:100]} declares a document type, which no writer does"
    return None


def _html(file: Shared) -> Found:
    page = BufferedReader(file).read()
    if page.count(b"<") > FREE_TAGS + len(page) // BYTES_PER_TAG:
        return Found(fault="it has too many tags for its size: save it as text")
    return _text(page)


def _text(page: str | bytes) -> Found:
    """The text with its headings, lists and tables as Markdown, without pictures."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    soup = BeautifulSoup(page, "html.parser")
    for hidden in soup(HIDDEN):
        hidden.decompose()
    text = MarkdownConverter(heading_style="ATX", strip=["img"]).convert_soup(soup).strip()
    if not text:
        return Found(fault="it has no text")
    if len(text) > MAX_TEXT:
        return Found(fault=f"its text has {len(text):,} characters; the limit is {MAX_TEXT:,}")
    return Found(text=text)


_READ: dict[str, Callable[[Shared], Found]] = {"pdf": _pdf, "docx": _docx, "html": _html}
