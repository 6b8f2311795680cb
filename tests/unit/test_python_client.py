"""The Python client without a server: what it sends for rows of any kind, and how it reads what comes."""

import datetime as dt
import itertools
import json
import sys
import uuid
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from penstock_client import answers, frames, progress
from penstock_client.following import Lines as Events
from penstock_client.lines import Lines
from penstock_client.order import Order

NOTHING = {"id": "j", "total": 8, "status": "running", "cost": "0.00"}


def sent(rows, *, with_prompt=True):
    lines = Lines(rows, with_prompt=with_prompt)
    lines.content.seek(0)
    return [json.loads(line) for line in lines.content]


def test_cells_of_every_common_type_are_sent_as_a_sheet_shows_them():
    row = {
        "day": dt.datetime(2026, 1, 2),  # noqa: DTZ001 - as frames have it
        "at": dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC),
        "sum": Decimal("1.10"),
        "id": uuid.UUID(int=1),
        "nothing": [float("nan"), pd.NaT, pd.NA, None],
        "number": np.int64(3),
        "vector": np.array([1.5, 2.0]),
        7: "a name that is no text",
    }
    assert sent([row]) == [
        {
            "row": {
                "day": "2026-01-02",
                "at": "2026-01-02T03:04:00+00:00",
                "sum": "1.10",
                "id": "00000000-0000-0000-0000-000000000001",
                "nothing": [None, None, None, None],
                "number": 3,
                "vector": [1.5, 2.0],
                "7": "a name that is no text",
            }
        }
    ]


def test_no_column_is_taken_for_a_request_and_names_go_beside_the_row():
    row = {"prompt": "cell", "messages": "cell", "custom_id": 7, "conversation": None}
    assert sent([row]) == [{"row": row, "custom_id": "7"}]
    assert sent([{"messages": []}, "Hello?"], with_prompt=False) == [{"messages": []}, {"prompt": "Hello?"}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": 1}, {"a": object()}], "row 1: a value of the type object"),
        ([["a"]], "row 0: give a dict or a text; found list"),
        ([{"a": float("inf")}], "row 0: .*not JSON compliant"),
    ],
)
def test_what_cannot_be_sent_is_named_by_its_row(rows, message):
    with pytest.raises(TypeError, match=message):
        sent(rows)


def test_equal_rows_are_one_order_whatever_they_come_in():
    # Given
    columns = {"text": ["a", "b", "ü"], "stars": [1, 2, 3]}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    forms = [rows, iter(rows), pd.DataFrame(columns), pl.DataFrame(columns), pa.table(columns)]

    # Then
    assert len({Order(form, "{{ text }}", {}).fingerprint for form in forms}) == 1


def test_an_order_is_another_one_if_its_answers_may_differ_and_only_then():
    def fingerprint(prompt="{{ text }}", **asked):
        return Order(["a"], prompt, asked).fingerprint

    same = [
        {},
        {"max_cost": 3},
        {"try_first": 2},
        {"dedupe": True},
        {"reuse": 30},
        {"name": "n"},
        {"model": None},
    ]
    assert len({fingerprint(**asked) for asked in same}) == 1
    others = [
        {"model": "m"},
        {"prompt": "{{text}}"},
        {"fields": ["a: text"]},
        {"system": "s"},
        {"max_tokens": 1},
    ]
    assert len({fingerprint(**asked) for asked in [{}, *others]}) == 6
    assert fingerprint(model="m", system="s") == fingerprint(system="s", model="m")
    assert Order(["a"], None, {"fields": ["a?: text", "b : date? # at: last"]}).properties == ["a", "b"]
    assert fingerprint(fields={"mood": "a | b"}) == fingerprint(fields=["mood: a | b"])


def test_a_row_is_given_back_as_it_was_given():
    for rows in (["a", {"text": "b"}], [{"prompt": "c"}]):
        for with_prompt in (True, False):
            lines = Lines(rows, with_prompt=with_prompt)
            assert [lines.row(index) for index in range(len(rows))] == rows


def test_half_a_pair_is_sent_as_its_code():
    assert sent(["\ud83d"]) == [{"row": {"text": "\ud83d"}}]


STREAM = (
    'event: snapshot\nid: 0\ndata: {"a":1}\n\n: nothing new\n\nevent: status\r\nid: 7\r\ndata: "é"\r\n\r\n'
)


@given(st.lists(st.integers(0, len(STREAM.encode()))))
def test_events_are_the_same_however_their_bytes_are_cut(cuts):
    whole, events = STREAM.encode(), Events()
    ends = [0, *sorted(cuts), len(whole)]
    found = [event for cut in itertools.pairwise(ends) for event in events.feed(whole[slice(*cut)])]
    assert [event and (event.kind, event.id, event.data) for event in found] == [
        ("snapshot", "0", '{"a":1}'),
        None,
        ("status", "7", '"é"'),
    ]


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"content": [{"type": "thinking", "text": "no"}, {"type": "text", "text": "a"}]}, "a"),
        ({"choices": [{"message": {"content": "b"}}]}, "b"),
        ({"choices": [{"message": {"content": None, "refusal": "no"}}]}, "no"),
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "c"}]}]}, "c"),
        ({"data": [{"embedding": [0.5, 1.0]}]}, "[0.5, 1.0]"),
        ({"type": "inference", "output": [1]}, "[1]"),
        (None, None),
    ],
)
def test_the_text_of_an_answer_is_found_in_every_form(response, text):
    assert answers.text_of(response) == text


def test_columns_that_clash_are_named_apart_and_rows_without_an_answer_say_why():
    record = {"index": 1, "status": "succeeded", "cost": "0.5", "value": {"mood": "good"}}
    answer = answers.read(record, None)
    assert frames.columns_of([answer], 2, "cancelled", ["mood"], ["mood", "id"]) == {
        "answer.mood": [None, "good"],
        "status": ["cancelled", "succeeded"],
        "error": [None, None],
        "cost": [None, 0.5],
    }


def test_progress_is_drawn_in_a_notebook_though_it_is_no_terminal(monkeypatch, capsys):
    # Given a kernel
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))

    # When
    bar = progress.Bar(None)
    for ended in (2, 8):
        bar.show({**NOTHING, "counts": {"pending": 8 - ended, "running": 0, "failed": 0}})
    bar.close({**NOTHING, "status": "completed", "counts": {"pending": 0, "running": 0, "failed": 0}})

    # Then one line is drawn over and over
    drawn = capsys.readouterr().err
    assert drawn.count("\r") == 2
    assert drawn.count("\n") == 1
    assert "2/8  25%" in drawn
    assert drawn.rstrip().endswith("8/8 100% · $0.00")


def test_the_line_of_progress_says_how_far_it_is_how_fast_and_what_it_cost():
    job = {**NOTHING, "counts": {"pending": 6, "running": 0, "failed": 1}, "cost": "0.0123"}
    assert progress.line(job, 2, 0.5).split(" ", 1)[1] == "2/8  25% · 0.5/s · 1 failed · $0.0123 · 0:12 left"
