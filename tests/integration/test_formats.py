"""Files of many formats over REST: what comes in one goes back in the form in which it came."""

import json

import pytest

from tests.support.front_door import Door, Worker

pytestmark = pytest.mark.one_database


@pytest.fixture
def door(environment):
    return Door()


@pytest.fixture
def worker(environment):
    return Worker()


def said(text):
    return json.dumps({"content": [{"type": "text", "text": text}]}).encode()


def results(door, job, format, **query):
    response = door.get(job["links"]["results"], query_string={"format": format, **query})
    assert response.status_code == 200, response.text
    return response


def test_a_json_list_comes_back_as_one_with_the_answers_in_its_objects(door, worker):
    # Given a list of rows of which not every one has every cell
    rows = [{"text": "good", "tags": ["a"]}, {"text": "bad", "stars": 1}, {"text": "late"}]
    job = door.upload("rows.json", json.dumps(rows).encode(), template="Judge {{ text }}").get_json()
    worker.end(job, [0], answer=said('=1+1\n"ä"'))
    worker.end(job, [1], error=("timeout", "too slow"))

    # Then what has ended is there as it came, and the answers are texts
    response = results(door, job, "json")
    assert response.mimetype == "application/json"
    first, second = json.loads(response.data)
    assert list(first)[:4] == ["text", "tags", "answer", "status"]
    assert (first["tags"], first["answer"], first["status"]) == (["a"], '=1+1\n"ä"', "succeeded")
    assert (second["stars"], second["answer"], second["error"]) == (1, None, "timeout: too slow")

    # And its columns are those of every other table
    header = results(door, job, "csv").data.decode("utf-8-sig").splitlines()[0]
    assert header.startswith("text,tags,stars,answer,status")


def test_of_a_job_without_a_table_a_json_list_names_its_records(door, worker):
    job = door.submit(2)
    assert json.loads(results(door, job, "json").data) == []
    worker.end(job, [1], answer=said("Good."))
    (only,) = json.loads(results(door, job, "json").data)
    assert (only["index"], only["custom_id"], only["answer"]) == (1, "r1", "Good.")
