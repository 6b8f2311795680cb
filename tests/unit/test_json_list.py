"""A JSON list as a file: read item by item, whatever its encoding and wherever a piece ends."""

import io
import json

import pytest

from app.errors import BadInput
from app.ingest.draft import Defaults, Draft, Problems
from app.ingest.sheets.kinds import find_kind
from app.ingest.streams import json_list
from app.ingest.streams.json_list import JsonList
from app.ingest.templates import compile_template

DEFAULTS = Defaults(model="simulated", max_tokens=100)
ROWS = [{"text": "schön", "tags": ["a", {"b": None}]}, {"text": "good", "stars": 4}]


def read(data: bytes, template: str | None = None, **options: int) -> tuple[JsonList, list[Draft], Problems]:
    problems = Problems()
    compiled = template and compile_template(template)
    found = JsonList(io.BytesIO(data), DEFAULTS, compiled, problems, max_records=1_000, **options)
    return found, list(found.drafts), problems


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("indent", [None, 2])
def test_rows_keep_their_values_and_name_the_columns_in_their_order(monkeypatch, encoding, indent):
    monkeypatch.setattr(json_list, "PIECE", 7)
    data = json.dumps(ROWS, ensure_ascii=False, indent=indent).encode(encoding)

    found, drafts, problems = read(data, "Judge {{ text }}")

    assert [json.loads(draft.body)["row"] for draft in drafts] == ROWS
    assert found.columns == ["text", "tags", "stars"]
    assert problems.count == 0


def test_records_of_ones_own_are_no_rows():
    found, drafts, _ = read(b'[{"prompt": "a"}, {"prompt": "b"}]')

    assert [json.loads(draft.body) for draft in drafts] == [{"prompt": "a"}, {"prompt": "b"}]
    assert found.columns is None


def test_objects_without_a_list_around_them_are_read_alike_and_only_as_many_as_asked_for():
    _, drafts, _ = read(b'{\n "prompt": "a"\n}\n{"prompt": "b"} {"prompt": "c"}', rows=2)

    assert [json.loads(draft.body)["prompt"] for draft in drafts] == ["a", "b"]


def test_an_invalid_item_is_named_by_its_number():
    _, drafts, problems = read(b'[{"prompt": "a"}, 7, {"prompt": ""}]')

    assert len(drafts) == 1
    assert [problem["where"] for problem in problems.listed] == ["item 2", "item 3"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[]", "no records"),
        (b"", "no records"),
        (b'[{"prompt": "a"}', "comma or ] is missing"),
        (b'[{"prompt": "a"},]', "follows a comma"),
        (b'[{"prompt": "a"}] 7', "something follows the list"),
        (b'[{"prompt": "\xff"}]', "not UTF-8"),
        (b'[{"prompt": NaN}]', "not a number"),
    ],
)
def test_what_is_no_such_list_is_refused(data, why):
    with pytest.raises(BadInput, match=why):
        read(data)


@pytest.mark.parametrize(
    ("name", "data", "format"),
    [
        ("csv", b'[{"a": 1}]', "json"),
        ("jsonl", b' [ {"a": 1}]', "json"),
        ("csv", b'{"a": 1}\n{"a": 2}', "jsonl"),
        ("json", b'{"a": 1}', "json"),
        ("csv", b"[a,b\n1,2", "csv"),
    ],
)
def test_a_list_is_known_by_how_it_begins(name, data, format):
    assert find_kind(io.BytesIO(data), name) == format
