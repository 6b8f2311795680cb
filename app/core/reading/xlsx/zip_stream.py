"""A ZIP archive written as a stream: parts of another archive as they are packed there, and parts of its own.

`zipfile` cannot copy a part without unpacking it, which loses its exact bytes and takes their time: a picture
of a few kilobytes may unpack to gigabytes.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZipInfo

from app.errors import TooLarge

PIECE = 64_000  # bytes
MAX_BYTES = 0xFFFF_FFFF  # of a part: more needs extensions that not every reader knows
LEVEL = 6  # of packing, zlib's own default

LOCAL = struct.Struct("<4s5H3L2H")
SIZES = struct.Struct("<4s3L")  # behind a part whose size was not known before
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
SIZES_FOLLOW, UTF8 = 0x08, 0x800  # flags of a part


class ZipStream:
    """Yields the bytes of the archive in their order; `end` gives the last ones."""

    def __init__(self) -> None:
        self._written = 0
        self._directory: list[bytes] = []

    def copy(self, part: ZipInfo, source: BinaryIO) -> Iterator[bytes]:
        """A part of the archive in the seekable `source`, as it is packed there."""
        flags = part.flag_bits & ~SIZES_FOLLOW
        sums = (part.CRC, part.compress_size, part.file_size)
        source.seek(part.header_offset)
        *_, name_size, extra_size = LOCAL.unpack(source.read(LOCAL.size))
        at = part.header_offset + LOCAL.size + name_size + extra_size
        start = self._written
        yield self._put(_local(part, flags, part.compress_type, sums))
        for left in range(part.compress_size, 0, -PIECE):
            source.seek(at + part.compress_size - left)  # others may read the source between two pieces
            yield self._put(source.read(min(PIECE, left)))
        self._directory.append(_central(part, flags, part.compress_type, sums, start))

    def pack(self, part: ZipInfo, content: Iterable[bytes]) -> Iterator[bytes]:
        """A part with the name and date of `part` and other content.

        Raises `TooLarge` in the middle of it when it takes more than an archive can hold.
        """
        flags = part.flag_bits & UTF8 | SIZES_FOLLOW
        start = self._written
        yield self._put(_local(part, flags, ZIP_DEFLATED, (0, 0, 0)))
        packer, crc, size, before = zlib.compressobj(LEVEL, zlib.DEFLATED, -15), 0, 0, self._written
        for piece in content:
            crc, size = zlib.crc32(piece, crc), size + len(piece)
            if size > MAX_BYTES:
                raise TooLarge("the sheet with its answers is larger than an archive can hold")
            if packed := packer.compress(piece):
                yield self._put(packed)
        yield self._put(packer.flush())
        sums = (crc, self._written - before, size)
        yield self._put(SIZES.pack(b"PK\x07\x08", *sums))
        self._directory.append(_central(part, flags, ZIP_DEFLATED, sums, start))

    def end(self) -> bytes:
        directory = b"".join(self._directory)
        count = len(self._directory)
        return directory + END.pack(b"PK\5\6", 0, 0, count, count, len(directory), self._written, 0)

    def _put(self, content: bytes) -> bytes:
        self._written += len(content)
        return content


Sums = tuple[int, int, int]  # CRC, packed size, unpacked size


def _local(part: ZipInfo, flags: int, method: int, sums: Sums) -> bytes:
    """What precedes the content of a part."""
    name, flags = _name(part, flags)
    return LOCAL.pack(b"PK\3\4", 20, flags, method, *_moment(part), *sums, len(name), 0) + name


def _central(part: ZipInfo, flags: int, method: int, sums: Sums, start: int) -> bytes:
    """A part's entry in the directory."""
    name, flags = _name(part, flags)
    kept = (0, 0, 0, part.internal_attr, part.external_attr, start)
    head = (b"PK\1\2", 20, 20, flags, method, *_moment(part), *sums, len(name))
    return CENTRAL.pack(*head, *kept) + name


def _name(part: ZipInfo, flags: int) -> tuple[bytes, int]:
    name = part.filename.encode()
    return name, flags if part.filename.isascii() else flags | UTF8


def _moment(part: ZipInfo) -> tuple[int, int]:
    """The time and the date of a part, as MS-DOS wrote them."""
    year, month, day, hour, minute, second = part.date_time
    return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day
