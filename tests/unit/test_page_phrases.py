"""The words that the page puts in place of a call's: each of them replaces something that is said."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from marshmallow import fields

from app.dashboard import phrases
from app.errors import BadInput
from app.ingest.tables import PROMPT_COLUMN
from app.ingest.templates import compile_template

APP = Path(phrases.__file__).parents[1]
OF_LIBRARIES = {fields.Integer.default_error_messages["invalid"]}


def sentences() -> Iterator[str]:
    """Every text in the source of what a page can show, with one word for all that is filled in."""
    for path in APP.rglob("*.py"):
        if path == Path(phrases.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(
                    part.value if isinstance(part, ast.Constant) else PROMPT_COLUMN for part in node.values
                )


@pytest.fixture(scope="module")
def said() -> str:
    return "\n".join(phrases.OPTION.sub("", sentence) for sentence in sentences())


@pytest.mark.parametrize("phrase", [*phrases.PHRASES, phrases.NO_PROMPT, phrases.TITLE])
def test_what_is_replaced_is_said_somewhere(said, phrase):
    assert phrase in said or phrase in OF_LIBRARIES or phrase in of_a_broken_template()


def of_a_broken_template() -> str:
    with pytest.raises(BadInput) as caught:
        compile_template("{{ review")
    return caught.value.message
