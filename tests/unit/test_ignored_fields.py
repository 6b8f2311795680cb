"""Fields that a contract ignores, as the response names them."""

import json

import pytest
from flask import Flask
from marshmallow import Schema, fields, validate

from app.web import bodies


class Part(Schema):
    size = fields.Integer()


class Order(Schema):
    parts = fields.List(fields.Nested(Part), validate=validate.Length(max=3))
    box = fields.Nested(Part)
    notes = fields.Dict()


def told(value):
    """What is left of `value`, and the header that tells what was ignored."""
    app = Flask(__name__)
    app.post("/")(lambda: json.dumps(bodies.known(Order(), value)))
    answer = app.test_client().post("/")
    return json.loads(answer.text), answer.headers.get(bodies.IGNORED)


def test_what_is_unknown_is_left_out_at_every_depth_and_named_once():
    left, names = told(
        {
            "parts": [{"size": 1, "colour": "red"}, {"colour": "blue"}, 7],
            "box": {"weight": {"kg": 1}},
            "notes": {"colour": "any"},
            "trace": "x",
        }
    )

    assert left == {"parts": [{"size": 1}, {}, 7], "box": {}, "notes": {"colour": "any"}}
    assert names.split(", ") == ["trace", "parts[].colour", "box.weight"]


@pytest.mark.parametrize("value", [{"parts": [{"size": 1}], "box": None}, {"parts": "x"}, [1], "x", None])
def test_a_body_without_unknown_fields_stays_as_it_is(value):
    assert told(value) == (value, None)


def test_a_list_with_too_many_items_is_left_to_the_check_of_its_length():
    many = {"parts": [{"colour": 1}] * 4}

    assert told(many) == (many, None)


def test_a_header_of_hostile_names_is_short_and_plain():
    names = ["a\r\nSet-Cookie: x", "größe, ", "", "\ud800", "€" * 1_000_000]
    _, header = told(dict.fromkeys([*names, *map(str, range(100_000))]))

    parts = header.split(", ")
    assert parts[:4] == ["a%0D%0ASet-Cookie%3A%20x", "gr%C3%B6%C3%9Fe%2C%20", "", "?"]
    assert parts[4].startswith("%E2%82%AC")
    assert parts[4].endswith("...")
    assert all(len(part) <= bodies.LONGEST for part in parts)
    assert len(parts) == bodies.NAMED + 1
    assert parts[-1] == "..."
    assert header.isascii()
    assert header.isprintable()
