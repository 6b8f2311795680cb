"""Base64 in pieces: what RFC 4648 allows and what people have, and nothing else, however it is cut."""

import base64
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.base64_text import Decoder

# Python's strict decoder is no judge: 3.11's takes `DDDD=`.
WELL_FORMED = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
OF_URLS = re.compile(rb"(?:[\w+/-]{4})*(?:[\w+/-]{2}(?:==)?|[\w+/-]{3}=?)?", re.ASCII)


def decoded(pieces: list[bytes]) -> bytes:
    decoder = Decoder()
    content = [decoder.feed(piece) for piece in pieces]
    return b"".join([*content, decoder.close()])


def cut(text: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=6))
def test_what_was_encoded_is_brought_back_from_any_pieces(content, places):
    assert decoded(cut(base64.b64encode(content), places)) == content


@given(
    st.binary(max_size=200),
    st.integers(1, 80),
    st.sampled_from(["", "data:application/pdf;base64,", "\n DATA:text/plain;charset=utf-8;base64,"]),
    st.booleans(),
    st.lists(st.integers(0, 300), max_size=6),
)
def test_it_is_taken_as_people_have_it(content, width, prefix, is_of_urls, places):
    # Given lines as mail programs and `base64` write them, data URLs, the alphabet of URLs without padding
    text = base64.urlsafe_b64encode(content).rstrip(b"=") if is_of_urls else base64.b64encode(content)
    if is_of_urls and not {b"-", b"_"} & {text[n : n + 1] for n in range(len(text))}:
        text = base64.b64encode(content)
    lines = b"\r\n".join(text[n : n + width] for n in range(0, len(text), width)) + b"\n"

    # Then the content comes back, however it arrives
    assert decoded(cut(prefix.encode() + lines, places)) == content


@given(
    st.text("QUJD=+/ \n-_é", max_size=24).map(str.encode),
    st.lists(st.integers(0, 30), max_size=4),
)
def test_it_takes_what_is_well_formed_and_nothing_else(text, places):
    bare = text.translate(None, b" \n")
    form = OF_URLS if b"-" in bare or b"_" in bare else WELL_FORMED
    if form.fullmatch(bare):
        standard = bare.translate(bytes.maketrans(b"-_", b"+/"))
        assert decoded(cut(text, places)) == base64.b64decode(standard + b"=" * (-len(standard) % 4))
    else:
        with pytest.raises(ValueError, match=r"\w"):
            decoded(cut(text, places))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"QUJD*UJD", "'*' at character 5"),
        (b"QUJDQU", "middle of a group"),
        (b"QQ==QUJD", "'=' at character 3"),
        (b"data:application/pdf,QUJD", "not with the prefix of a data URL in base64"),
        (b"data" + b"x" * 600 + b":", "':' at character 605"),
        (b"data:" + b"x" * 600, "not with the prefix"),
        (b"QUJD\nQU:D", "':' at character 8"),
        (b"data:a/b;base64,Q:", "':' at character 18"),
        ("QUJDé".encode(), "middle of a group|at character 5"),
    ],
)
def test_a_fault_is_named_with_its_place(text, words):
    with pytest.raises(ValueError, match=words.replace("*", r"\*").replace("\\n", r"\\n")):
        decoded([text])
