"""What a quote reads, and that it stores nothing."""

import json

import pytest
from sqlalchemy import func, select

from models import Job
from models.session import reading
from tests.support.front_door import JOBS, Door

pytestmark = pytest.mark.one_database


def test_a_quote_stores_nothing_and_counts_duplicates(environment):
    door = Door()
    asked = {"model": "simulated", "records": [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"}]}
    told = door.post(f"{JOBS}/estimate", data=json.dumps(asked), content_type="application/json").get_json()

    assert (told["records"], told["duplicates"]) == (3, 1)
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_bad_input_is_told_as_at_a_submission(environment):
    refused = Door().post(f"{JOBS}/estimate", json={"model": "simulated", "records": [{"prompt": 3}]})
    assert refused.status_code == 422
    assert refused.get_json()["error"]["details"]["problems"]
