"""What clients of Anthropic's API may send that its SDKs seldom do, at the front door alone."""

import pytest

from tests.support.contracts import MESSAGE_BATCHES
from tests.support.front_door import Door

pytestmark = pytest.mark.one_database

MODELS = "/v1/models"
VERSION = {"anthropic-version": "2026-10-21"}


@pytest.fixture
def door(environment) -> Door:
    return Door()


def test_models_are_there_for_the_beta_client_and_with_a_slash_at_the_end(door):
    page = door.get(f"{MODELS}?beta=true&limit=1", headers=VERSION)
    assert page.status_code == 200, page.text
    (first,) = page.get_json()["data"]
    assert first["capabilities"]["batch"] == {"supported": True}
    for path in (f"{MODELS}/{first['id']}?beta=true", f"{MODELS}/{first['id']}/"):
        assert door.get(path, headers=VERSION).get_json() == first


@pytest.mark.parametrize("path", [MESSAGE_BATCHES, MODELS])
def test_every_answer_names_its_request_and_its_organization(door, path):
    answer = door.get(path, headers=VERSION)
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["anthropic-organization-id"] == answer.headers["anthropic-workspace-id"] != ""
    assert "anthropic-organization-id" not in door.get("/v1/batches", headers=VERSION).headers
