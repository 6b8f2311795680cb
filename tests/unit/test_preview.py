"""What a record will ask, for a person to read: the text of its last message, whatever it is made of."""

import json

import pytest

from app.ingest.draft import Defaults, Draft
from app.ingest.previews.prompts import LONGEST, prompt_of
from app.ingest.templates import compile_template

TEXT = {"type": "text", "text": "Why?"}


def preview(record: dict, template: str | None = None, prompt: str | None = None) -> str | None:
    draft = Draft(json.dumps(record).encode(), 100)
    compiled = None if template is None else compile_template(template)
    return prompt_of(draft, Defaults("simulated", 10, prompt=prompt), compiled)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"prompt": "Why?"}, "Why?"),
        ({"prompt": ""}, None),
        ({"row": {"prompt": "Why?"}}, "Why?"),
        ({"messages": [{"role": "user", "content": "No"}, {"role": "user", "content": "Why?"}]}, "Why?"),
        ({"messages": [{"role": "user", "content": [TEXT, {"type": "image"}, TEXT]}]}, "Why?\nWhy?"),
        ({"messages": [{"role": "user", "content": [5, None, {"type": "text"}]}]}, None),
        ({"messages": [5]}, None),
        ({"messages": [{"role": "user"}]}, None),
        ({"params": {"messages": [{"role": "user", "content": "Why?"}]}}, "Why?"),
        ({"params": {"messages": "x"}}, None),
        ({"input": [1.0]}, None),
        ({"prompt": "\ud800"}, "\\ud800"),
    ],
)
def test_the_last_message_is_shown(record, text):
    assert preview(record) == text


def test_a_row_is_shown_as_its_template_renders_it():
    assert preview({"row": {"review": "Good"}}, "Summarise: {{ review }}") == "Summarise: Good"


def test_a_document_is_shown_by_what_is_asked_about_it():
    assert preview({"document": {}}, prompt="Summarise it.") == "Summarise it."
    assert preview({"document": {}}) is None


def test_a_long_prompt_is_cut():
    assert preview({"prompt": "x" * 5_000}) == "x" * LONGEST + "…"
