"""Cursors: given back as they were given out, and refused otherwise."""

import uuid

import pytest

from app.api import cursors
from app.errors import BadInput


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
