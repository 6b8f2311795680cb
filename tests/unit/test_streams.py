"""Bodies that are read in pieces: JSON with one long list, and what is compressed."""

import gzip
import json
import random
import zlib
from collections.abc import Iterator
from typing import Any

import brotli
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import BadInput, BadRequest, TooLarge
from app.ingest.streams import codings, members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MOST = 1_000_000  # bytes


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[start : start + size] for start in range(0, len(text), size))


def read(text: str | bytes, size: int = 7) -> tuple[list[Any], dict[str, Any]]:
    others: dict[str, Any] = {}
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return list(members.items(pieces(content, size), "requests", others)), others


@settings(max_examples=40)  # each is read in many pieces
@given(
    st.lists(VALUES, max_size=6),
    st.dictionaries(st.text(min_size=1).filter(lambda name: name != "requests"), VALUES, max_size=3),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_the_items_are_those_of_the_whole_wherever_a_piece_ends(items, others, size, ascii_only, indent):
    whole = {**others, "requests": items}
    text = json.dumps(whole, ensure_ascii=ascii_only, indent=indent)

    assert read(text.encode("utf-8", "surrogatepass") if ascii_only else text, size) == (items, others)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "[]",
        "7",
        "{",
        '{"requests"',
        '{"requests":',
        '{"requests": 7}',
        '{"requests": {}}',
        '{"requests": [',
        '{"requests": [1',
        '{"requests": [1,',
        '{"requests": [1,]}',
        '{"requests": [1 2]}',
        '{"requests": [,1]}',
        '{"requests": [1]',
        '{"requests": [1],}',
        '{"requests": [1] "b": 2}',
        '{"requests": [1]} 7',
        '{"requests": [1], "requests": [2]}',
        '{"a": 1}',
        "{7: [1]}",
        '{"requests": [NaN]}',
        '{"requests": [1e999]}',
        """{'requests': [1]}""",
        '{"requests": [' + "[" * 100_000,
        '{"requests": [{"a": "\x01"}]}',
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1_000_000])
def test_what_is_not_such_an_object_is_refused(text, size):
    with pytest.raises(BadInput):
        read(text, size)


def test_a_broken_body_is_refused_where_it_breaks_and_not_read_to_its_end():
    def endless() -> Iterator[bytes]:
        yield b'{"requests": [{"a": 1}, {"a" 2}'
        while True:
            yield b", 1" * 1_000

    with pytest.raises(BadInput, match=r"requests\.1.*character 30"):
        list(members.items(endless(), "requests", {}))


def test_what_no_record_could_be_is_not_collected():
    def endless(of: bytes) -> Iterator[bytes]:
        yield b'{"requests": ["'
        while True:
            yield of * 1_000_000

    with pytest.raises(TooLarge, match=r"requests\.0"):
        list(members.items(endless(b"x"), "requests", {}))
    many = b'{"requests": [[' + b"[]," * 3_000_000
    with pytest.raises(BadInput, match="lists and objects"):
        read(many, 1_000_000)
    for others in (
        "{" + ",".join(f'"{number}": 1' for number in range(200)),
        f'{{"a": "{"x" * 1_100_000}", "requests": []}}',
    ):
        with pytest.raises(BadInput, match="besides"):
            read(others, 100_000)


def test_a_body_that_is_not_utf_8_is_refused():
    with pytest.raises(BadInput, match="UTF-8"):
        read(b'{"requests": ["\xff"]}')
    assert read(b'\xef\xbb\xbf{"requests": [1]}') == ([1], {})


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": lambda content: gzip.compress(content[:10]) + gzip.compress(content[10:]),
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "br": brotli.compress,
    "zstd": lambda content: zstd.compress(content[:10]) + zstd.compress(content[10:]),
    "identity": bytes,
    "": bytes,
}


@pytest.mark.parametrize("coding", ENCODERS)
@pytest.mark.parametrize("size", [1, 1_000, 1_000_000])
def test_what_was_compressed_is_decoded(coding, size):
    content = random.Random(1).randbytes(5_000) + b"a" * 900_000  # several pieces of output
    body = ENCODERS[coding](content)

    assert b"".join(codings.decoded(pieces(body, size), coding, MOST)) == content


def test_what_was_compressed_twice_is_decoded_twice():
    body = brotli.compress(gzip.compress(b"twice"))

    assert b"".join(codings.decoded([body], "gzip, br", MOST)) == b"twice"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_what_grows_beyond_the_bound_is_cut_off_in_small_pieces(coding):
    body = ENCODERS[coding](bytes(20_000_000))
    seen = []

    with pytest.raises(TooLarge) as refusal:
        seen.extend(len(piece) for piece in codings.decoded([body], coding, MOST))

    assert refusal.value.details["error_code"] == "request_body_too_large_after_decoding"
    assert sum(seen) <= MOST
    assert max(seen) <= 2 * codings.PIECE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_what_is_not_in_the_coding_or_not_whole_is_refused(coding):
    whole = ENCODERS[coding](random.Random(2).randbytes(1_000))

    for body in (b"{}", b'{"requests": []}' * 10, whole[:-5], whole + b"\1\2\3", b""):
        with pytest.raises(BadRequest) as refusal:
            list(codings.decoded(pieces(body, 100), coding, MOST))
        assert refusal.value.details["error_code"] == "request_body_encoding_invalid"


@pytest.mark.parametrize("coding", ["lzma", "gzip, nonsense", "gzip, gzip, gzip, gzip"])
def test_a_coding_that_is_not_known_is_refused(coding):
    with pytest.raises(BadRequest) as refusal:
        list(codings.decoded([b"x"], coding, MOST))

    assert refusal.value.details["error_code"] == "request_body_encoding_unsupported"
