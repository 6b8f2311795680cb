"""A text that is looked for is found in any case, and however JSON has written it."""

import json

import pytest

from app.core.reading.details.phrase import MOST, Phrase
from app.errors import BadInput

FOUND = (
    ("müller", "Herr MÜLLER kam"),
    ("ü", "U\u0308ber"),  # an accent of its own
    ("café", "le CAFE\u0301"),
    ("Straße", "STRASSE"),
    ("ΣΟΦΟΣ", "ο σοφος"),
    ("Привет", "ПРИВЕТ"),
    ("日本", "在日本"),
    ("😀 ok", "a 😀\tOK"),
    ('say "hi"', 'he did SAY\n"Hi"'),
    ("a/b", "A/B"),
    ("50%", "at 50% off"),
    ("\ud83d", "half \ud83d"),
    ("two  words", "two\u00a0words"),
    ("c:\\temp", "C:\\Temp"),
)
NOT_FOUND = (("muller", "Müller"), ("ab", "a b"), ("a.c", "abc"), ("日本", "日曜"))


def ways(text: str) -> list[bytes]:
    """How encoders of JSON write a text."""
    ascii, plain = json.dumps(text), json.dumps(text, ensure_ascii=False)
    slashed = ascii.replace("/", "\\/").replace("<", "\\u003C")
    capitals = "\\u".join(part[:4].upper() + part[4:] for part in ascii.split("\\u"))
    return [way.encode("utf-8", "surrogatepass") for way in (ascii, plain, slashed, capitals)]


@pytest.mark.parametrize(("asked", "text"), FOUND)
def test_a_text_is_found_in_any_case_and_in_every_way_to_write_json(asked: str, text: str) -> None:
    phrase = Phrase.of(asked)
    assert phrase is not None
    assert phrase.in_text.search(text)
    for way in ways(text):
        small = way.lower()
        assert any(all(word in small for word in part.split(b"%")) for part in phrase.parts), way


@pytest.mark.parametrize(("asked", "text"), NOT_FOUND)
def test_another_text_is_not(asked: str, text: str) -> None:
    phrase = Phrase.of(asked)
    assert phrase is not None
    assert not phrase.in_text.search(text)


def test_nothing_is_looked_for_in_white_space_and_not_in_a_novel() -> None:
    assert Phrase.of(" \t\n") is None
    with pytest.raises(BadInput, match="at most 200 characters, and this one 201"):
        Phrase.of("x" * (MOST + 1))
