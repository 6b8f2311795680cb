"""Cursors: given back as they were given out, and refused otherwise."""

import datetime as dt
import uuid

import pytest

from app.errors import BadInput
from app.web import cursors


def test_a_cursor_leads_to_its_place():
    job = uuid.uuid4()

    assert cursors.job_before(cursors.write(str(job))) == job
    assert cursors.index_after(cursors.write("41")) == 41
    assert cursors.job_before(None) is None
    assert cursors.index_after(None) is None


@pytest.mark.parametrize(
    "cursor", ["", "!", "a", "é", cursors.write("-1"), cursors.write("99999999999"), "=" * 9]
)
def test_anything_else_is_refused(cursor):
    with pytest.raises(BadInput):
        cursors.index_after(cursor)
    with pytest.raises(BadInput):
        cursors.job_before(cursor)


@pytest.mark.parametrize(
    ("group_by", "group"),
    [("model", "claude-é"), ("day", dt.date(2026, 11, 22)), ("job", uuid.UUID(int=5))],
)
def test_a_cursor_leads_to_its_group(group_by, group):
    assert cursors.group_after(group_by, cursors.write(str(group))) == group
    assert cursors.group_after(group_by, None) is None


@pytest.mark.parametrize(
    ("group_by", "cursor"),
    [
        ("model", ""),
        ("model", cursors.write("a\0")),
        ("day", cursors.write("claude")),
        ("day", cursors.write("2026-02-30")),
        ("job", cursors.write("2026-02-28")),
    ],
)
def test_a_cursor_of_other_groups_is_refused(group_by, cursor):
    with pytest.raises(BadInput):
        cursors.group_after(group_by, cursor)
