"""JSON lines: every fault named by its line, whatever the file holds."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadInput, TooLarge
from app.ingest.draft import Defaults, Draft, Problems
from app.ingest.jsonl import read_jsonl
from app.ingest.templates import compile_template

DEFAULTS = Defaults(model="simulated", max_tokens=100)


def read(
    data: bytes, template: str | None = None, max_records: int = 1_000
) -> tuple[list[Draft], list[dict]]:
    problems = Problems()
    drafts = read_jsonl(
        io.BytesIO(data),
        DEFAULTS,
        template and compile_template(template),
        problems,
        max_records=max_records,
    )
    return list(drafts), problems.listed


def prompts(data: bytes) -> list[str]:
    drafts, problems = read(data)
    assert problems == []
    return [json.loads(draft.body)["prompt"] for draft in drafts]


def test_each_line_is_a_record():
    assert prompts(b'{"prompt": "a"}\n{"prompt": "b"}') == ["a", "b"]


def test_mark_line_ends_and_blank_lines_do_not_matter():
    assert prompts(b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n  \n\t {"prompt": "b"} \r\n\n') == ["a", "b"]


def test_broken_json_names_line_and_column():
    # Given a file with a comma missing on line 7
    lines = [b'{"prompt": "fine"}'] * 6 + [b'{"prompt": "hi", "custom_id" "7"}'] + [b'{"prompt": "fine"}']

    # Then that place is named, and the other lines are read
    drafts, problems = read(b"\n".join(lines))
    assert len(drafts) == 7
    assert problems == [{"where": "line 7", "message": "not JSON: Expecting ':' delimiter at column 30"}]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"prompt": "a"} x', "not JSON: Extra data at column 17"),
        (b'{"prompt": NaN}', "not JSON: NaN is not a number in JSON"),
        (b'{"prompt": "caf\xe9"}', "not UTF-8: 0xe9 at byte 16; save the file as UTF-8"),
        (b'"text"', "a record must be a JSON object, found a string"),
        (b"[" * 100_000, "not JSON: it is nested too deeply"),
        (b"[" + b"[]," * 2_000_001 + b"1]", "not JSON: it has over 2,000,000 lists and objects"),
        (b'{"prompt": ' + b"9" * 5_000 + b"}", "not JSON: it has a whole number of over 4,300 digits"),
        (b"hello", "not JSON: Expecting value at column 1"),
    ],
)
def test_a_line_that_is_no_record_is_named(line, said):
    _, problems = read(b'{"prompt": "a"}\n\n' + line + b'\n{"prompt": "b"}\n')

    assert [problem["where"] for problem in problems] == ["line 3"]
    assert problems[0]["message"].startswith(said)


def test_a_json_list_is_told_from_json_lines():
    for data in (b'[{"prompt": "a"}]', b'\xef\xbb\xbf [\n{"prompt": "a"}\n]'):
        with pytest.raises(BadInput, match="the file begins with a JSON list"):
            read(data)


def test_a_file_without_records_is_refused():
    for data in (b"", b"\n\n", b"\xef\xbb\xbf"):
        with pytest.raises(BadInput, match="the file has no records"):
            read(data)


def test_all_faults_are_counted_and_nothing_else_is_said():
    drafts, problems = read(b"x\ny\nz\n")

    assert drafts == []
    assert [problem["where"] for problem in problems] == ["line 1", "line 2", "line 3"]


class CountingStream(io.BytesIO):
    """Notes the longest piece that was asked of it at once."""

    longest = 0

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        self.longest = max(self.longest, len(line))
        return line


def test_a_line_that_is_too_long_is_named_without_being_held():
    # Given a line of 90 MB between two good ones
    stream = CountingStream(b'{"prompt": "a"}\n{"prompt": "' + b"x" * 90_000_000 + b'"}\n{"prompt": "b"}\n')

    # When the file is read
    problems = Problems()
    drafts = list(read_jsonl(stream, DEFAULTS, None, problems, max_records=10))

    # Then it is named, its neighbours are taken, and no more than one record's limit was in memory
    assert problems.listed == [
        {"where": "line 2", "message": "the line has over 32,000,000 bytes, the limit of a record"}
    ]
    assert len(drafts) == 2
    assert stream.longest <= 32_000_001


def test_rows_for_a_template_are_checked_against_it():
    drafts, problems = read(b'{"review": "a"}\n{"revew": "b"}\n', "Sum up: {{ review }}")

    assert [draft.body for draft in drafts] == [b'{"row":{"review":"a"}}']
    assert problems == [{"where": "line 2", "message": 'the template uses "review"; there is "revew"'}]


def test_a_custom_id_given_twice_names_both_lines():
    _, problems = read(b'{"prompt": "a", "custom_id": "x"}\n\n{"prompt": "b", "custom_id": "x"}\n')

    assert problems == [{"where": "line 3", "message": 'custom_id "x" is already used by line 1'}]


def test_one_record_too_many_names_its_line():
    with pytest.raises(TooLarge, match="line 4: a job takes up to 2 records"):
        read(b'{"prompt": "a"}\n\n{"prompt": "b"}\n{"prompt": "c"}\n', max_records=2)


@given(
    st.lists(st.text().map("a{}".format), min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_any_text_comes_back(texts, ascii_only, end):
    lines = [json.dumps({"prompt": text}, ensure_ascii=ascii_only).encode() for text in texts]

    assert prompts(end.join(lines)) == texts


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    try:
        read(data)
    except BadInput:
        pass
