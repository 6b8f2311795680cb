"""XML in blocks, by expat: no entities, no tag that would have to be kept in memory whole."""

from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn
from xml.parsers import expat

from app.errors import BadInput

MAX_TOKEN_BYTES = 200_000  # of one tag or comment: expat keeps it whole, and reads it again with each block

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]


def names(*tags: str) -> dict[str, str]:
    """Tags of sheets by their names with either namespace, as expat gives them."""
    return {f"{space} {tag}": tag for space in (MAIN, STRICT) for tag in tags}


def parse(
    blocks: Iterable[bytes], start: Start, end: End | None = None, text: End | None = None
) -> Iterator[None]:
    """Call back for each tag and text of a part, and yield after each block.

    Raises `expat.ExpatError` for what is not XML.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse_declaration
    fed = 0
    for block in blocks:
        parser.Parse(block, False)
        fed += len(block)
        if fed - parser.CurrentByteIndex > MAX_TOKEN_BYTES:
            raise BadInput(f"the file has a tag of over {MAX_TOKEN_BYTES:,} bytes, which is too much")
        yield
    parser.Parse(b"", True)
    yield


def read(blocks: Iterable[bytes], start: Start) -> None:
    """Call back for each tag of a part that is read whole."""
    for _ in parse(blocks, start):
        pass


def _refuse_declaration(*_: object) -> NoReturn:
    raise BadInput("the file cannot be read as XLSX: it declares a document type, which may hold entities")
