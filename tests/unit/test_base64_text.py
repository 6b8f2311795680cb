"""Base64 in pieces: what RFC 4648 allows, and nothing else, however it is cut."""

import base64
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.base64_text import Decoder

# Python's strict decoder is no judge: 3.11's takes `DDDD=`.
WELL_FORMED = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def decoded(pieces: list[bytes]) -> bytes:
    decoder = Decoder()
    content = b"".join(decoder.feed(piece) for piece in pieces)
    decoder.close()
    return content


def cut(text: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=6))
def test_what_was_encoded_is_brought_back_from_any_pieces(content, places):
    assert decoded(cut(base64.b64encode(content), places)) == content


@given(
    st.text("QUJD=+/ \n-_é", max_size=24).map(str.encode),
    st.lists(st.integers(0, 30), max_size=4),
)
def test_it_takes_what_is_well_formed_and_nothing_else(text, places):
    if WELL_FORMED.fullmatch(text):
        assert decoded(cut(text, places)) == base64.b64decode(text)
    else:
        with pytest.raises(ValueError, match=r"\w"):
            decoded(cut(text, places))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"QUJD*UJD", "'*' at character 5"),
        (b"QUJDQU", "middle of a group"),
        (b"QQ==QUJD", "'=' at character 3"),
        (b"data:application/pdf;base64,QUJD", "':' at character 5"),
        (b"QUJD\nQUJD", "'\\n' at character 5"),
        ("QUJDé".encode(), "middle of a group|at character 5"),
    ],
)
def test_a_fault_is_named_with_its_place(text, words):
    with pytest.raises(ValueError, match=words.replace("*", r"\*").replace("\\n", r"\\n")):
        decoded([text])
