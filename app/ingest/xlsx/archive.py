"""The ZIP archive of an XLSX file: its parts are unpacked in blocks, each counted before it is parsed."""

import io
from collections.abc import Iterator
from typing import IO, BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from app.errors import BadInput
from app.ingest.xlsx.meter import Meter

BLOCK = 64_000  # bytes that are unpacked at once
MAX_READ = 1_000_000  # bytes; only the directory is read in one piece, and 1 MB holds some ten thousand parts
MAX_LOADED_BYTES = 256_000_000  # of one part that is kept in memory: the texts of cells
OLE = b"\xd0\xcf\x11\xe0"  # Excel 97, and today's files with a password


class Archive:
    """An archive in a seekable stream. Raises `BadInput` for too much, other errors for no archive."""

    def __init__(self, stream: BinaryIO) -> None:
        stream.seek(0)
        if stream.read(len(OLE)) == OLE:
            raise BadInput("the file is encrypted or of Excel 97: save it as .xlsx without a password")
        self.meter = Meter(stream.seek(0, io.SEEK_END))
        self._zip = ZipFile(cast(IO[bytes], _Source(stream)))
        self._names = {_plain(part.filename): part for part in self._zip.infolist()}

    @property
    def parts(self) -> list[ZipInfo]:
        """All parts in their order; of several with one name only the last counts."""
        return list({part.filename: part for part in self._zip.infolist()}.values())

    def part(self, name: str) -> ZipInfo:
        """The part that is meant by a name, which some writers spell in two ways; raises `KeyError`."""
        return self._names[_plain(name)]

    def blocks(self, name: str) -> Iterator[bytes]:
        """The content of a part, which is paid for."""
        for block in self.unpaid(name):
            self.meter.take(block)
            yield block

    def unpaid(self, name: str) -> Iterator[bytes]:
        """The content of a part that is not parsed yet, only looked through."""
        part = self.part(name)
        if part.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # others unpack without a bound
            raise BadZipFile("it is packed by a method that XLSX does not have")
        self.meter.expect(part.file_size)
        with self._zip.open(part) as content:
            while block := content.read(BLOCK):
                yield block

    def whole(self, name: str) -> Iterator[bytes]:
        """The content of a part that stays in memory."""
        if self.part(name).file_size > MAX_LOADED_BYTES:  # no more than that is ever unpacked
            raise BadInput(
                f"the texts of the file unpack to over {MAX_LOADED_BYTES:,} bytes, which is too much: send"
                " CSV or JSONL"
            )
        yield from self.blocks(name)


def _plain(name: str) -> str:
    """Names of parts are the same in capitals, and with the backslashes of Windows."""
    return name.replace("\\", "/").lower()


class _Source(io.RawIOBase):
    """The stream as `zipfile` gets it: what it reads in one piece is bounded."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if size > MAX_READ:
            raise BadInput(f"the list of the file's parts has {size:,} bytes; the limit is {MAX_READ:,}")
        return self._stream.read(size if size >= 0 else MAX_READ)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
