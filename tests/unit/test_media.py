"""What a document is, by its bytes."""

import pytest

from app.ingest import media
from app.ingest.media import Sniffer


def kind_of(content: bytes, piece: int = 7) -> str:
    sniffer = Sniffer()
    for start in range(0, len(content), piece):
        sniffer.feed(content[start : start + piece])
    return sniffer.media_type()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"%PDF-1.7\n...", "application/pdf"),
        (b"\xef\xbb\xbfjunk before\n%PDF-1.4", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n\0\0", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"GIF89a\x01\0", "image/gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x24\0\0\0WAVEfmt ", media.UNKNOWN),
        ("Grüße, 好".encode(), media.TEXT),
        (b"", media.TEXT),
        ("Grüße".encode("latin-1"), media.UNKNOWN),
        ("cut é".encode()[:-1], media.UNKNOWN),
        (b"text with\0NUL", media.UNKNOWN),
        (b"PK\x03\x04\x14\0", media.UNKNOWN),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1_000])
def test_a_document_is_known_by_its_bytes_however_they_come(content, kind, piece):
    assert kind_of(content, piece) == kind
