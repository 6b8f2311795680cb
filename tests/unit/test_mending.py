"""JSON is read out of what is not quite JSON, and no value is ever guessed."""

import json

import pytest

from app.core.requests.mending import mend

VALUE = {"mood": "it's {fine}, [really]", "stars": 4, "good": True, "note": None, "tags": ["a", "b"]}
TEXT = json.dumps(VALUE)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"```json\n{TEXT}\n```",
        f"Sure, here it is:\n```\n{json.dumps(VALUE, indent=2)}\n```\nAnything else?",
        f"Here is the answer: {TEXT} I hope that helps!",
        TEXT.replace('"b"]', '"b",],'),
        TEXT.replace("}", ",}").replace("{fine,}", "{fine}"),
        TEXT.replace("true", "True").replace("null", "None"),
        TEXT.replace('"mood"', "mood"),
        TEXT.replace('{"mood', '{ // the mood\n "mood').replace("// the mood\n", "\n// the mood\n"),
        '{"mood": "two\nlines"}',
        "{'mood': 'calm', 'stars': 4}",
    ],
)
def test_what_is_written_is_read(text):
    expected = VALUE
    if "two\nlines" in text:
        expected = {"mood": "two\nlines"}
    elif text.startswith("{'"):
        expected = {"mood": "calm", "stars": 4}

    assert mend(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot answer that.",
        '{"mood": "calm"',  # cut
        '{"mood": "calm, "stars": 4}',  # where does the text end?
        '{"mood": "he said "calm" to me"}',
        '{"mood": calm}',
        '{"mood": , "stars": 4}',
        '{"mood": "calm", "stars" 4, "good": true}',
        '{"mood": "calm", "mood": "angry",}',
        '{"stars": 4 5}',
        '{"stars": 1e3, }',  # 1000.0 are other digits
        'Either {"stars": 4} or {"stars": 5}.',
        '```\n{"stars": 4}\n```\n```\n{"stars": 5}\n```',
        '{"a": [1, 2}',
        '{"stars": 4,' + " " * 20_000 + "}",
    ],
)
def test_what_is_not_clear_is_not_read(text):
    with pytest.raises(ValueError, match=r".*"):
        mend(text)
