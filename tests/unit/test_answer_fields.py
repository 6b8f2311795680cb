"""Fields that a person lists become a schema that every answer is asked and checked with."""

import pytest

from app.core.requests.answer_fields import KINDS, ONE_OF, AnswerField, schema_of
from app.core.requests.schemas import compile_schema
from app.core.requests.sent_schema import refuse_open, unsent
from app.errors import BadInput


def test_fields_of_every_kind_make_a_schema_that_is_taken():
    fields = [AnswerField(f"a {kind}", kind, ("good", "bad")) for kind in KINDS]

    schema = schema_of(fields)

    assert schema is not None
    compile_schema(schema)
    refuse_open(schema)
    assert unsent(schema) == []
    assert schema["required"] == [field.name for field in fields]
    assert schema["properties"][f"a {ONE_OF}"] == {"type": "string", "enum": ["good", "bad"]}
    assert schema_of([]) is None


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        (AnswerField("", "text"), "give it a name"),
        (AnswerField("x" * 101, "text"), "up to 100 characters"),
        (AnswerField("first", "text"), "another field is called"),
        (AnswerField("b", "date"), "one of the kinds"),
        (AnswerField("b", ONE_OF, ("only",)), "2 to 50 choices"),
        (AnswerField("b", ONE_OF, ("a", "a")), "listed twice"),
    ],
)
def test_a_field_that_cannot_be_asked_is_named(field, fault):
    with pytest.raises(BadInput, match=f"field 2: .*{fault}"):
        schema_of([AnswerField("first", "text"), field])
