"""What clients of Anthropic's API may send that its SDKs seldom do, at the front door alone."""

import datetime as dt
import json
from typing import Any

import pytest
from sqlalchemy import update

from models.job import Job, JobStatus
from models.session import in_transaction
from tests.support.contracts import MESSAGE_BATCHES
from tests.support.front_door import Door

pytestmark = pytest.mark.one_database

MESSAGES, COUNT, MODELS = "/v1/messages", "/v1/messages/count_tokens", "/v1/models"
VERSION = {"anthropic-version": "2026-10-21"}
WISH = {"model": "simulated", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]}
TOO_LONG = '{"model":"simulated","max_tokens":%s,"messages":[]}' % ("9" * 5_000)


@pytest.fixture
def door(environment) -> Door:
    return Door()


def refusal(response: Any) -> str:
    assert response.status_code == 400, response.text
    return response.get_json()["error"]["message"]


def post(door: Door, path: str, body: Any) -> Any:
    raw = (
        body
        if isinstance(body, bytes)
        else body.encode()
        if isinstance(body, str)
        else json.dumps(body).encode()
    )
    return door.post(path, data=raw, content_type="application/json", headers=VERSION)


def test_models_are_there_for_the_beta_client_and_with_a_slash_at_the_end(door):
    page = door.get(f"{MODELS}?beta=true&limit=1", headers=VERSION)
    assert page.status_code == 200, page.text
    (first,) = page.get_json()["data"]
    for path in (f"{MODELS}/{first['id']}?beta=true", f"{MODELS}/{first['id']}/"):
        assert door.get(path, headers=VERSION).get_json() == first


@pytest.mark.parametrize("path", [MESSAGE_BATCHES, MODELS])
def test_every_answer_names_its_request_and_its_organization(door, path):
    answer = door.get(path, headers=VERSION)
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["anthropic-organization-id"] == answer.headers["anthropic-workspace-id"] != ""
    assert "anthropic-organization-id" not in door.get("/v1/batches", headers=VERSION).headers


def test_a_body_may_begin_with_a_byte_order_mark(door):
    for path in (MESSAGES, COUNT):
        assert refusal(post(door, path, b"\xef\xbb\xbf{}")).startswith("model: ")
    batch = {"requests": [{"custom_id": "a", "params": WISH}]}
    assert post(door, MESSAGE_BATCHES, b"\xef\xbb\xbf" + json.dumps(batch).encode()).status_code == 200


@pytest.mark.parametrize("path", [MESSAGES, COUNT, MESSAGE_BATCHES])
def test_an_empty_body_and_a_number_without_end_are_named(door, path):
    assert refusal(post(door, path, b"")) == "the body is empty: send JSON"
    number = "it has a whole number of over 4,300 digits"
    body = (
        TOO_LONG if path != MESSAGE_BATCHES else f'{{"requests":[{{"custom_id":"a","params":{TOO_LONG}}}]}}'
    )
    assert number in refusal(post(door, path, body))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "the body must be a JSON object; found an empty list"),
        ({**WISH, "model": 5}, "model: give the name of a model; found 5"),
        ({**WISH, "model": "claude-\0x"}, r"model: give the name of a model; found 'claude-\x00x'"),
        ({**WISH, "max_tokens": True}, "max_tokens: give a whole number up to 1,000,000; found true"),
        ({**WISH, "max_tokens": None}, "max_tokens: give a whole number up to 1,000,000; found nothing"),
        ({**WISH, "max_tokens": "9" * 99}, f"up to 1,000,000; found '{'9' * 60}…'"),
        ({**WISH, "messages": {}}, "messages: give a list of at least one message; found an object"),
        ({**WISH, "messages": ["why"]}, "messages.0: give an object with a role and content; found 'why'"),
        ({**WISH, "stream": "yes"}, "stream: give true or false; found 'yes'"),
    ],
)
def test_what_a_call_has_wrong_is_named_with_what_was_found(door, wrong, said):
    assert said in refusal(post(door, MESSAGES, wrong))


@pytest.mark.parametrize("path", [MESSAGE_BATCHES, MODELS])
@pytest.mark.parametrize("limit", ["0", "1001", "x", "", "9" * 30])
def test_a_page_of_no_possible_size_is_named_with_what_was_found(door, path, limit):
    said = refusal(door.get(f"{path}?limit={limit}", headers=VERSION))
    assert said.startswith("limit: give a whole number from 1 to 1,000; found ")
    assert limit[:9] in said


def test_the_key_of_a_provider_is_told_from_one_of_ours(door):
    for key, said in (("sk-ant-secret", "not a provider's"), ("pk_abcdefghij_secret", "'pk_abcdefghij'")):
        refused = door.get(MESSAGE_BATCHES, headers={**VERSION, "X-API-Key": key})
        message = refused.get_json()["error"]["message"]
        assert (refused.status_code, said in message, "secret" in message) == (401, True, False)


def test_a_batch_that_is_being_cancelled_is_deleted_after_its_end(door):
    batch = post(door, MESSAGE_BATCHES, {"requests": [{"custom_id": "a", "params": WISH}]}).get_json()
    cancelling = update(Job).values(status=JobStatus.CANCELLING, closed_as=JobStatus.CANCELLED)
    in_transaction(lambda session: session.execute(cancelling) and None)
    said = refusal(door.call("DELETE", f"{MESSAGE_BATCHES}/{batch['id']}", headers=VERSION))
    assert said == "The job is cancelling; wait for its end before deleting it."


def test_a_batch_expires_a_day_after_its_creation_to_the_microsecond(door):
    batch = post(door, MESSAGE_BATCHES, {"requests": [{"custom_id": "a", "params": WISH}]}).get_json()
    created, expires = (dt.datetime.fromisoformat(batch[name]) for name in ("created_at", "expires_at"))
    assert expires - created == dt.timedelta(days=1)
