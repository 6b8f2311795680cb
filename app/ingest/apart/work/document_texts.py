"""Documents as a model takes them: the text of DOCX and HTML, and how many pages a PDF has."""

from collections.abc import Callable, Generator
from io import BufferedReader
from typing import Any, NamedTuple
from zipfile import ZipFile

from app.ingest.apart.frames import Asked, Shared

FREE_BYTES, BYTES_PER_BYTE = 5_000_000, 200  # that a DOCX may unpack to, for each of its own
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
    import mammoth

    content = BufferedReader(file, 1_000_000)
    unpacked = sum(part.file_size for part in ZipFile(content).infolist())
    if unpacked > FREE_BYTES + BYTES_PER_BYTE * file.size:
        return Found(fault=f"it unpacks to {unpacked:,} bytes, which is too much for its size")
    content.seek(0)
    page = mammoth.convert_to_html(content, convert_image=mammoth.images.img_element(lambda _: {}))
    return _text(page.value)


def _html(file: Shared) -> Found:
    return _text(BufferedReader(file).read())


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
