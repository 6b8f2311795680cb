"""What of an event is new to a reader that knows some of it."""

import json

from app.core.reading import events
from app.core.reading.events import Event

GROUP = events.records([(4, "succeeded", 11, "d"), (2, "failed", 12, None), (9, "succeeded", 13, "ü")])


def test_a_group_of_records_has_the_id_of_its_last():
    assert GROUP.id == 13
    assert json.loads(GROUP.data) == {
        "records": [[4, "succeeded", 11, "d"], [2, "failed", 12, None], [9, "succeeded", 13, "ü"]]
    }


def test_a_reader_is_told_what_it_does_not_know_and_nothing_else():
    assert GROUP.after(10) is GROUP
    half = GROUP.after(11)
    assert half is not None
    assert json.loads(half.data)["records"] == [[2, "failed", 12, None], [9, "succeeded", 13, "ü"]]
    assert GROUP.after(13) is None
    assert GROUP.after(20) is None


def test_a_state_older_than_what_the_reader_knows_is_not_told():
    status = Event("status", 5, b"{}", last=True)

    assert status.after(5) is status
    assert status.after(6) is None
