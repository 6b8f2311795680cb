"""Keys: shown once, hashed, scoped, revoked; and who may do what with them."""

import threading

import pytest
from sqlalchemy import select, update

from app.core.accounts import api_keys
from app.errors import BadInput, NotFound
from models import ApiKey, Tenant, User
from models.session import in_transaction, reading
from tests.support.front_door import JOBS, Door

pytestmark = pytest.mark.one_database

KEYS = "/api/v1/keys"


@pytest.fixture
def door(environment):
    return Door()


def test_a_caller_learns_whom_its_key_acts_for(door):
    me = door.get("/api/v1/me").get_json()

    assert me["tenant"] == "acme"
    assert me["user_id"] == "ada"
    assert me["key"] == door.prefix
    assert me["scopes"] == ["admin"]
    assert set(me) == {"tenant_id", "tenant", "user_id", "key", "scopes"}


def test_both_headers_carry_a_key(door):
    assert door.client.get("/api/v1/me", headers={"Authorization": f"Bearer {door.key}"}).status_code == 200
    assert door.client.get("/api/v1/me", headers={"X-API-Key": door.key}).status_code == 200


def test_without_a_known_key_nothing_is_answered(door):
    for headers in (
        {},
        {"X-API-Key": "nope"},
        {"X-API-Key": "pk_aaaaaaaaaa_" + "0" * 64},
        {"X-API-Key": "pk_\u00e9"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer "},
    ):
        response = door.client.get(JOBS, headers=headers)

        assert response.status_code == 401, headers
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert response.get_json()["error"]["type"] == "unauthenticated"


def test_a_providers_key_is_told_from_an_unknown_one_and_never_shown(door):
    theirs = door.client.get("/v1/models", headers={"Authorization": "Bearer sk-proj-secret"}).text
    ours = door.client.get("/v1/models", headers={"Authorization": "Bearer pk_abc_secret"}).text

    assert "not a provider's" in theirs
    assert "'pk_abc' is unknown" in ours
    assert "secret" not in theirs + ours


def test_a_known_prefix_with_another_secret_is_refused(door):
    other = door.key[:-1] + ("0" if door.key[-1] != "0" else "1")

    response = door.client.get(JOBS, headers={"X-API-Key": other})

    assert response.status_code == 401
    assert other[-64:] not in response.text


def test_a_key_is_shown_once_and_stored_as_its_hash(door):
    # When a key is made
    made = door.post(KEYS, json={"name": "ci", "scopes": ["jobs:read"]})

    # Then its text is in that answer and nowhere else
    key = made.get_json()["key"]
    assert made.status_code == 201
    assert made.get_json()["prefix"] == key.rpartition("_")[0]
    assert key not in door.get(KEYS).text
    with reading() as session:
        row = session.scalars(select(ApiKey).where(ApiKey.name == "ci")).one()
    assert key.encode() not in row.sha256
    assert len(row.sha256) == 32

    # And without a user it acts for one of its own
    assert made.get_json()["user_id"] == made.get_json()["id"]
    assert (
        door.client.get("/api/v1/me", headers={"X-API-Key": key}).get_json()["user_id"]
        == made.get_json()["id"]
    )


def test_scopes_bound_what_a_key_may_do(door):
    # Given a key that may read and one that may write
    reader, writer = door.other("acme", ["jobs:read"]), door.other("acme", ["jobs:write"])
    job = door.submit(1)

    assert reader.get(JOBS).status_code == 200
    assert writer.post_records(1).status_code == 202
    refused = [
        reader.post_records(1),
        reader.post(f"{JOBS}/{job['id']}/cancel"),
        reader.call("DELETE", f"{JOBS}/{job['id']}"),
        writer.get(JOBS),
        writer.get(job["links"]["results"]),
        reader.get(KEYS),
    ]
    assert [response.status_code for response in refused] == [403] * 6
    assert "jobs:write" in refused[0].get_json()["error"]["message"]


def test_a_key_gives_no_more_than_it_has(door):
    manager = door.other("acme", ["keys", "jobs:read"])

    assert manager.post(KEYS, json={"name": "n", "scopes": ["jobs:read"]}).status_code == 201
    assert manager.post(KEYS, json={"name": "n", "scopes": ["admin"]}).status_code == 403
    assert manager.post(KEYS, json={"name": "n"}).status_code == 403  # jobs:write is one of the usual two


@pytest.mark.parametrize("scope", ["batching", "metrics", "operator"])
def test_a_power_over_all_tenants_is_given_only_by_who_has_it(door, scope):
    # Given the administrator of a tenant, and one who operates the system
    operator = door.other("acme", ["admin", "operator"])

    # Then only the latter gives it on, and only the latter takes it away
    assert door.post(KEYS, json={"name": "n", "scopes": [scope]}).status_code == 403
    made = operator.post(KEYS, json={"name": "n", "scopes": [scope]})
    assert made.status_code == 201
    assert door.call("DELETE", f"{KEYS}/{made.get_json()['id']}").status_code == 403
    assert operator.call("DELETE", f"{KEYS}/{made.get_json()['id']}").status_code == 204


def test_a_key_that_may_only_manage_keys_takes_none_away_that_may_more(door):
    manager = door.other("acme", ["keys", "jobs:read"])
    made = {
        scopes: door.post(KEYS, json={"name": "n", "scopes": scopes.split()}).get_json()["id"]
        for scopes in ("admin", "jobs:read jobs:write", "jobs:read", "jobs:read keys")
    }

    revoked = {scopes: manager.call("DELETE", f"{KEYS}/{uid}").status_code for scopes, uid in made.items()}

    assert revoked == {"admin": 403, "jobs:read jobs:write": 403, "jobs:read": 204, "jobs:read keys": 204}
    refused = manager.call("DELETE", f"{KEYS}/{made['admin']}").get_json()["error"]["message"]
    assert "'admin'" in refused
    assert manager.prefix in refused
    own = next(key for key in door.get(KEYS).get_json()["data"] if key["prefix"] == manager.prefix)
    assert manager.call("DELETE", f"{KEYS}/{own['id']}").status_code == 204


def test_only_an_administrator_makes_keys_for_another_user(door):
    manager = door.other("acme", ["keys", "jobs:read"])  # of the user ada
    fine = {"name": "n", "scopes": ["jobs:read"]}

    assert manager.post(KEYS, json=fine | {"user_id": "ada"}).get_json()["user_id"] == "ada"
    new = manager.post(KEYS, json=fine).get_json()
    assert new["user_id"] == new["id"]
    for other in ("bob", new["user_id"]):
        refused = manager.post(KEYS, json=fine | {"user_id": other})
        assert refused.status_code == 403
        assert "'admin'" in refused.get_json()["error"]["message"]
        assert door.post(KEYS, json=fine | {"user_id": other}).status_code == 201


def test_a_stored_scope_that_is_none_any_more_gives_no_right_and_does_no_harm(door):
    # Given a key of an earlier release
    older = door.other("acme", ["jobs:read"])
    in_transaction(
        lambda session: (
            session.execute(
                update(ApiKey).where(ApiKey.prefix == older.prefix).values(scopes="jobs:read colours")
            )
            and None
        )
    )

    assert older.get(JOBS).status_code == 200
    assert older.get(KEYS).status_code == 403
    [uid] = [key["id"] for key in door.get(KEYS).get_json()["data"] if key["prefix"] == older.prefix]
    assert door.call("DELETE", f"{KEYS}/{uid}").status_code == 204


def test_a_key_that_cannot_be_made_is_refused(door):
    fine = {"name": "n"}
    for asked in ({}, {"name": ""}, fine | {"scopes": []}, fine | {"scopes": ["root"]}, fine | {"x": 1}):
        assert door.post(KEYS, json=asked).status_code == 422, asked


def test_a_revoked_key_is_refused_from_then_on(door):
    made = door.post(KEYS, json={"name": "ci"}).get_json()
    headers = {"X-API-Key": made["key"]}
    assert door.client.get(JOBS, headers=headers).status_code == 200

    assert door.call("DELETE", f"{KEYS}/{made['id']}").status_code == 204
    assert door.call("DELETE", f"{KEYS}/{made['id']}").status_code == 204

    assert door.client.get(JOBS, headers=headers).status_code == 401
    assert [key["revoked_at"] is None for key in door.get(KEYS).get_json()["data"]] == [True, False]


def test_another_tenants_keys_do_not_exist(door):
    stranger = door.other()
    [mine] = door.get(KEYS).get_json()["data"]

    assert [key["name"] for key in stranger.get(KEYS).get_json()["data"]] == ["test"]
    assert stranger.call("DELETE", f"{KEYS}/{mine['id']}").status_code == 404
    assert stranger.call("DELETE", f"{KEYS}/nope").status_code == 404


def test_two_who_make_the_same_tenant_at_once_make_one(environment):
    made = []

    def make() -> None:
        made.append(
            in_transaction(
                lambda session: api_keys.create(session, "new", name="k", user="u", scopes=["admin"])
            )
        )

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with reading() as session:
        assert len(session.scalars(select(Tenant)).all()) == 1
        assert len(session.scalars(select(User)).all()) == 1
        assert len(api_keys.list_keys(session, "new")) == len(made) == 6


def test_a_key_is_made_once_however_often_it_is_asked_for_under_one_name(door):
    # Given
    asked = {"name": "ci", "user_id": "bob", "scopes": ["jobs:read"]}
    named = {"Idempotency-Key": "key-of-ci"}
    first = door.post(KEYS, json=asked, headers=named)

    # When it is asked for again, by the same key
    again = door.post(KEYS, json=asked, headers=named)

    # Then it is the same, and works
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.get_json() == first.get_json()
    made = first.get_json()["key"]
    assert door.client.get("/api/v1/me", headers={"X-API-Key": made}).get_json()["user_id"] == "bob"

    # And not for what it is not
    assert door.post(KEYS, json=asked | {"scopes": ["jobs:write"]}, headers=named).status_code == 422
    assert door.post(KEYS, json=asked | {"user_id": None}, headers=named).status_code == 422
    assert door.post(KEYS, json=asked, headers={"Idempotency-Key": "another"}).get_json()["key"] != made
    assert door.other().post(KEYS, json=asked, headers=named).get_json()["key"] != made


def test_a_named_key_of_a_user_of_its_own_is_found_again(door):
    first, again = (
        door.post(KEYS, json={"name": "k"}, headers={"Idempotency-Key": "k"}).get_json() for _ in range(2)
    )
    assert first == again


def test_neither_the_database_nor_the_maker_alone_tells_a_named_key(door):
    # Given a key and what is stored of it
    made = door.post(KEYS, json={"name": "k"}, headers={"Idempotency-Key": "k"}).get_json()
    with reading() as session:
        row = session.scalars(select(ApiKey).where(ApiKey.prefix == made["prefix"])).one()

    # Then who knows its maker needs the salt, and who knows the salt its maker
    assert api_keys.Naming(door.key, "k").text(row.salt) == made["key"]
    assert api_keys.Naming(door.key, "k").text(b"0" * 32) != made["key"]
    assert api_keys.Naming("pk_aaaaaaaaaa_" + "0" * 64, "k").text(row.salt) != made["key"]


def test_what_is_no_name_or_no_key_is_said(environment):
    with pytest.raises(BadInput, match="tenant"):
        in_transaction(lambda session: api_keys.create(session, " ", name="k", scopes=["admin"]))
    with pytest.raises(BadInput, match="root"):
        in_transaction(lambda session: api_keys.create(session, "t", name="k", scopes=["root"]))
    with pytest.raises(NotFound, match="pk_x"):
        in_transaction(lambda session: api_keys.revoke(session, "pk_x"))
