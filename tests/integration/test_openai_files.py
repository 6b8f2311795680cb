"""Files at the front door: uploaded, kept in the object store, counted, listed, read, and removed."""

import io
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from app.core.accounts import quotas
from app.core.documents import files, open_store
from app.dialects.openai import wire
from app.errors import NotFound
from config import settings
from models.base import now
from models.file import File
from models.session import in_transaction, reading
from tasks import sweep
from tests.conftest import penstock_of_its_own
from tests.support.front_door import Door

FILES = "/v1/files"
CONTENT = b'{"custom_id":"a"}\n'
MONTH = 30 * 86_400


@pytest.fixture(scope="module", params=["postgresql", pytest.param("sqlite", marks=pytest.mark.long)])
def house(request, tmp_path_factory):
    """One Penstock for all of these tests; each is a tenant of its own."""
    folder = tmp_path_factory.mktemp("files")
    with penstock_of_its_own(request.param, request, folder, MAX_UPLOAD_BYTES="10000"):
        yield Door("house")


@pytest.fixture
def door(house, request):
    return house.other(request.node.name[:60], scopes=("jobs:read", "jobs:write"))


def upload(door, content=CONTENT, name="asked.jsonl", purpose="batch", **fields):
    form = {"file": (io.BytesIO(content), name), "purpose": purpose, **fields}
    return door.post(FILES, data=form, content_type="multipart/form-data")


def uploaded(door, *content, **fields):
    response = upload(door, *content, **fields)
    assert response.status_code == 200, response.text
    return response.get_json()


def row(file):
    with reading() as session:
        return session.scalars(
            select(File).where(File.uid == wire.read_file_id(file["id"]).uid)
        ).one_or_none()


def is_stored(key):
    try:
        open_store.store().get(key)
    except NotFound:
        return False
    return True


def test_a_file_is_read_as_it_was_sent_and_says_what_it_is(door):
    file = uploaded(door, CONTENT, name="C:/x/ask ü.jsonl")

    assert file == {
        "id": file["id"],
        "object": "file",
        "bytes": len(CONTENT),
        "created_at": file["created_at"],
        "expires_at": file["created_at"] + MONTH,
        "filename": "ask ü.jsonl",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
    }
    content = door.get(f"{FILES}/{file['id']}/content")
    assert (content.data, content.mimetype) == (CONTENT, "application/octet-stream")
    assert "filename*=UTF-8''ask%20%C3%BC.jsonl" in content.headers["Content-Disposition"]


def test_only_files_of_requests_expire_by_themselves(door):
    assert uploaded(door, purpose="user_data")["expires_at"] is None
    expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = uploaded(door, purpose="user_data", **expiry)
    assert file["expires_at"] == file["created_at"] + 3_600


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "holidays"}, "purpose"),
        ({"purpose": ""}, "purpose"),
        ({"expires_after[seconds]": "60"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "never"}, "expires_after[anchor]"),
        ({"expires_after[anchor]": "created_at"}, "expires_after[seconds]"),
    ],
)
def test_a_field_that_cannot_be_used_is_a_400_that_names_it(door, fields, param):
    response = upload(door, **fields)

    assert response.status_code == 400
    error = response.get_json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_a_form_without_a_file_and_a_file_that_is_too_large_are_refused(door):
    assert upload(door, content=b"x" * 10_001).status_code == 413
    missing = door.post(FILES, data={"purpose": "batch"}, content_type="multipart/form-data")
    assert (missing.status_code, missing.get_json()["error"]["param"]) == (400, "file")
    assert door.post(FILES, json={"purpose": "batch"}).status_code == 415


def test_files_are_listed_from_either_end_by_page_and_by_purpose(door):
    ids = [uploaded(door, purpose=purpose)["id"] for purpose in ("batch", "user_data", "batch", "batch")]

    def listed(**query):
        page = door.get(FILES, query_string=query).get_json()
        return [file["id"] for file in page["data"]], page["has_more"], page["first_id"], page["last_id"]

    assert listed() == (ids[::-1], False, ids[3], ids[0])
    assert listed(limit=2) == ([ids[3], ids[2]], True, ids[3], ids[2])
    assert listed(limit=2, after=ids[2]) == ([ids[1], ids[0]], False, ids[1], ids[0])
    assert listed(order="asc", after=ids[1])[0] == ids[2:]
    assert listed(purpose="user_data")[0] == [ids[1]]
    assert listed(purpose="vision") == ([], False, None, None)
    refused = door.get(FILES, query_string={"after": "nothing"})
    assert (refused.status_code, refused.get_json()["error"]["param"]) == (400, "after")
    assert door.get(FILES, query_string={"limit": 0}).status_code == 400


def test_an_upload_that_is_sent_again_is_the_first_one_and_two_deliberate_ones_are_two(door):
    def send(count, content=CONTENT, **headers):
        form = {"file": (io.BytesIO(content), "asked.jsonl"), "purpose": "batch"}
        sent = {"x-stainless-retry-count": str(count), **headers}
        return door.post(FILES, data=form, content_type="multipart/form-data", headers=sent)

    first = send(0).get_json()
    assert send(1).get_json() == send(2).get_json() == first
    assert send(1, content=CONTENT * 2).get_json()["id"] != first["id"]
    second = send(0).get_json()
    assert second["id"] != first["id"]
    assert send(1).get_json() == second
    # One whose first sending was cut before its end is completed by the next one
    change(second, stored_at=None)
    assert send(1).get_json() == second
    # And one that is gone is made again
    door.call("DELETE", f"{FILES}/{second['id']}")
    assert send(1).get_json()["id"] not in (first["id"], second["id"])


def test_a_key_names_one_upload_for_a_day(door):
    def send(key="mine", content=CONTENT):
        form = {"file": (io.BytesIO(content), "asked.jsonl"), "purpose": "batch"}
        headers = {"Idempotency-Key": key}
        return door.post(FILES, data=form, content_type="multipart/form-data", headers=headers)

    first = send().get_json()
    assert send().get_json() == first
    assert send("other").get_json()["id"] != first["id"]
    refused = send(content=b"other")
    assert refused.status_code == 400
    assert "'mine'" in refused.get_json()["error"]["message"]
    change(first, created_at=now(-90_000))
    assert send(content=b"other").status_code == 200


def test_another_tenant_has_no_such_file(door, house):
    file, other = uploaded(door), house.other("another")

    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert other.call(method, f"{FILES}/{file['id']}{path}").status_code == 404
    assert other.get(FILES).get_json()["data"] == []
    assert door.get(f"{FILES}/{file['id']}").status_code == 200


def test_a_deleted_file_is_gone_with_its_object(door):
    file = uploaded(door)
    key = row(file).key
    assert is_stored(key)

    deleted = door.call("DELETE", f"{FILES}/{file['id']}")

    assert deleted.get_json() == {"id": file["id"], "object": "file", "deleted": True}
    assert door.get(f"{FILES}/{file['id']}").status_code == 404
    assert not is_stored(key)


def test_an_expired_file_is_gone_at_once_and_its_object_with_the_next_sweep(door):
    file, kept = uploaded(door), uploaded(door)
    key = row(file).key

    change(file, expires_at=now(-1))
    assert door.get(f"{FILES}/{file['id']}").status_code == 404
    assert [one["id"] for one in door.get(FILES).get_json()["data"]] == [kept["id"]]
    assert is_stored(key)
    assert [found.what for found in sweep.clear_away()] == ["removed_files"]

    assert not is_stored(key)
    assert is_stored(row(kept).key)
    change(file, created_at=now(-90_000))
    sweep.clear_away()
    assert row(file) is None


def test_an_upload_whose_process_was_killed_is_never_seen_and_removed_after_a_day(door):
    file = uploaded(door)
    key = row(file).key

    change(file, stored_at=None)
    assert door.get(f"{FILES}/{file['id']}").status_code == 404
    sweep.clear_away()
    assert is_stored(key)
    change(file, created_at=now(-90_000))
    sweep.clear_away()

    assert not is_stored(key)


def test_uploads_count_toward_the_bytes_of_a_tenant_even_when_they_were_deleted(door, request):
    tenant = request.node.name[:60]
    in_transaction(lambda session: quotas.change(session, tenant, {"bytes_per_hour": 100}))
    file = uploaded(door, b"x" * 60)
    door.call("DELETE", f"{FILES}/{file['id']}")

    refused = upload(door, b"x" * 60)

    assert (refused.status_code, refused.get_json()["error"]["type"]) == (429, "rate_limit_error")
    assert refused.headers["x-should-retry"] == "false"
    assert 3_500 < int(refused.headers["Retry-After"]) <= 3_601
    assert upload(door, b"x" * 30).status_code == 200


def test_with_the_header_of_anthropics_client_there_are_no_files(door):
    found = door.get(FILES, headers={"anthropic-version": "2023-06-01"})

    assert found.status_code == 404
    assert found.get_json()["error"]["type"] == "not_found_error"
    assert found.get_json()["type"] == "error"


def test_what_could_not_be_stored_is_told_and_left_to_the_sweep(door):
    folder = Path(urlsplit(settings.current().object_store_url).path)
    folder.mkdir(exist_ok=True)
    blocked = folder / "files" / str(door_tenant(door))
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_bytes(b"in the way of a folder")

    refused = upload(door)

    assert (refused.status_code, refused.get_json()["error"]["type"]) == (503, "server_error")
    assert door.get(FILES).get_json()["data"] == []
    blocked.unlink()
    assert upload(door).status_code == 200
    assert files.remove_due() == 0  # what is younger than a day may still be arriving


def door_tenant(door):
    return door.get("/api/v1/me").get_json()["tenant_id"]


def change(file, **values):
    uid = wire.read_file_id(file["id"]).uid
    in_transaction(lambda session: session.execute(update(File).where(File.uid == uid).values(**values)))
