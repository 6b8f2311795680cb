"""Who may call what: made from the contract's document, so that a new route is in it by itself.

The document says which scope an operation needs; here each is called and must refuse whom it says.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.core.accounts import api_keys
from app.core.accounts.api_keys import READ, SCOPES
from app.core.reading.job_json import PREFIX
from app.dashboard import blueprint
from app.web import auth
from config import settings
from tests.conftest import penstock_of_its_own
from tests.support.contract_document import Operation, documented_path, operations
from tests.support.front_door import Door
from tests.support.furnished_tenant import OPERATION, Furnished, furnish, key_of

AFAR = {"REMOTE_ADDR": "203.0.113.9"}  # some routes are open to this machine
WEBSOCKET = {"Connection": "Upgrade", "Upgrade": "websocket"}
IMPLIED = api_keys.IMPLIED

# What is sent as a parameter of this name. A route with another one fails until its name is here: under OWNED
# when its value belongs to a tenant, under SHARED when it means something to every tenant.
WITHOUT_JOB = {"key_id", "tenant_id", "webhook_id", "endpoint_id", "delivery_id"}
OWNED = {"job_id", "batch_id", "batchId", "file_id"} | WITHOUT_JOB
SHARED = {"group": "simulated", "name": OPERATION, "model_id": "simulated"}
BY_LABEL = {"batch_id", "batchId"}  # these may be a label, too


@pytest.fixture(scope="module")
def first(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    """The tenant that has what nobody else may reach."""
    folder = tmp_path_factory.mktemp("matrix")
    more = {"DEFAULT_MODEL": "simulated", "BATCH_PROCESS_WAIT_SECONDS": "0"}
    with penstock_of_its_own("sqlite", request, folder, **more):
        yield furnish(Door("first"))
    settings.current.cache_clear()


@pytest.fixture(scope="module")
def contract(first: Furnished) -> list[Operation]:
    return list(operations(first.door.get(f"{PREFIX}/openapi.json").get_json()))


@pytest.fixture
def unchanged(first: Furnished) -> Iterator[None]:
    """What the first tenant has is the same after the test."""
    before = first.rows()
    yield
    assert first.rows() == before


def test_without_a_valid_key_every_operation_is_a_401(first, contract, unchanged):
    key = first.door.key
    refused = {
        "none": {},
        "empty": {"headers": {"X-API-Key": " "}},
        "not in the form of a key": {"headers": {"X-API-Key": "secret"}},
        "unknown": {"headers": {"X-API-Key": f"pk_abcdefghij_{'0' * 64}"}},
        "another secret": {"headers": {"X-API-Key": key[:-4] + ("0000" if key[-4:] != "0000" else "1111")}},
        "revoked": {"headers": {"X-API-Key": first.revoked}},
        "revoked, as bearer": {"headers": {"Authorization": f"Bearer {first.revoked}"}},
        "as Basic": {"headers": {"Authorization": f"Basic {b64encode(f'{key}:{key}'.encode()).decode()}"}},
        "in a cookie": {"headers": {"Cookie": f"X-API-Key={key}; api_key={key}"}},
        "in the query": {"query_string": {"X-API-Key": key, "api_key": key, "key": key}},
        "unknown beside a good one": {"headers": {"X-API-Key": "secret", "Authorization": f"Bearer {key}"}},
    }
    names = dict.fromkeys(OWNED, first.jobs["ended"]) | SHARED
    found = [
        f"{operation}: {answer.status_code} for a key that is {kind}"
        for operation in contract
        for kind, asked in refused.items()
        if ((answer := _call(first, operation, names, asked)).status_code == 401) == _is_open(operation)
    ]

    assert found == []


def test_a_key_with_one_scope_reaches_what_the_document_gives_that_scope_and_nothing_else(
    first, contract, unchanged
):
    names = _names(first, first.jobs["ended"])
    wrong = []
    for scope in SCOPES:
        caller = {"headers": {"X-API-Key": key_of(f"with {scope}", scope)}}
        for operation in contract:
            answer = _call(first, operation, names, caller)
            if _lacks_scope(answer) == _allows(operation.scopes, scope):
                wrong.append(f"{operation}: {answer.status_code} with {scope}; it needs {operation.scopes}")

    assert wrong == []


def test_what_belongs_to_one_tenant_is_a_404_for_another_and_stays_as_it_is(first, contract, unchanged):
    other = {"headers": {"X-API-Key": key_of("other", *SCOPES)}}
    wrong = []
    for operation in contract:
        for name in _all_names(first, operation):
            answer = _call(first, operation, name, other)
            if operation.names(dict.fromkeys(OWNED)):
                if answer.status_code != 404:
                    wrong.append(f"{operation} of {name}: {answer.status_code} {answer.text[:200]}")
            elif found := _seen(first, answer):
                wrong.append(f"{operation} tells another tenant of {found}")
            elif answer.status_code in (401, 403) or answer.status_code not in _documented(operation):
                wrong.append(f"{operation}: {answer.status_code} {answer.text[:200]}")

    assert wrong == []


def test_the_tenant_itself_reaches_all_that_its_names_name(first, contract):
    """So that a 404 above is about the tenant, and not about the name."""
    wrong = []
    for operation in contract:
        if operation.method == "GET" and operation.names(dict.fromkeys(OWNED)) and not _lasts(operation):
            answer = _call(
                first, operation, _names(first, first.jobs["ended"]), {"headers": first.door.headers}
            )
            if answer.status_code != 200:
                wrong.append(f"{operation}: {answer.status_code} {answer.text[:200]}")

    assert wrong == []


def test_a_key_that_may_only_read_changes_nothing(contract):
    changing = [operation for operation in contract if operation.method != "GET"]

    assert [str(one) for one in changing if one.scopes in (None, (), (READ,))] == []


def test_what_is_outside_of_the_document_refuses_too(first, contract):
    # Given the routes that the document does not have
    inside = {operation.path for operation in contract}
    # (the page has sessions instead of keys: tests/integration/dashboard/test_every_view.py)
    outside = [
        rule for rule in first.door.app.url_map.iter_rules()
        if documented_path(rule.rule) not in inside and not rule.endpoint.startswith(blueprint.NAME)
    ]  # fmt: skip
    assert {rule.rule for rule in outside} >= {"/metrics", "/ws/batch-processor"}

    # Then each is public or refuses as the others do
    for rule in outside:
        scope = auth.scope_of(first.door.app.view_functions[rule.endpoint])
        if scope == auth.PUBLIC:
            continue
        headers = WEBSOCKET if rule.websocket else {}
        for key in ("", first.revoked, "secret"):
            assert _open(first, rule.rule, headers | {"X-API-Key": key}).status_code == 401, rule
        for other in SCOPES:
            if not _allows([scope], other):
                key = key_of("other", other)
                assert _lacks_scope(_open(first, rule.rule, headers | {"X-API-Key": key})), (rule, other)


def _call(
    first: Furnished, operation: Operation, names: Mapping[str, str], asked: Mapping[str, Any]
) -> TestResponse:
    """What the operation answers to its smallest request, which names `names`."""
    path, request = operation.request(names)
    query = {**request.pop("query_string", {}), **asked.get("query_string", {})}
    return first.door.app.test_client(use_cookies=False).open(
        path,
        method=operation.method,
        query_string=query,
        headers=asked.get("headers", {}),
        environ_base=AFAR,
        **request,
    )


def _open(first: Furnished, path: str, headers: Mapping[str, str]) -> TestResponse:
    return first.door.app.test_client().get(path, headers=headers, environ_base=AFAR)


def _is_open(operation: Operation) -> bool:
    return operation.scopes is None


def _lacks_scope(answer: TestResponse) -> bool:
    """Other refusals may be a 403, too."""
    return answer.status_code == 403 and "this call needs a key with the scope" in answer.text


def _allows(needed: Iterable[str] | None, scope: str) -> bool:
    return all(one == scope or one in IMPLIED.get(scope, ()) for one in needed or ())


def _names(first: Furnished, job: str) -> dict[str, str]:
    """A value for every name, those of a job being `job`."""
    tenant = first.door.get("/api/v1/me").get_json()["tenant_id"]
    own = {
        "key_id": first.keys[-1], "tenant_id": tenant, "file_id": first.files[0],
        "webhook_id": first.webhook, "endpoint_id": first.webhook, "delivery_id": first.delivery,
    }  # fmt: skip
    return dict.fromkeys(OWNED, job) | SHARED | own


def _all_names(first: Furnished, operation: Operation) -> Iterator[dict[str, str]]:
    """The names of everything that the first tenant has, where the operation takes such names."""
    named = operation.names(dict.fromkeys(OWNED))
    if named <= WITHOUT_JOB:
        yield _names(first, first.jobs["ended"])
        return
    for file in first.files if "file_id" in named else ():
        yield _names(first, first.jobs["ended"]) | {"file_id": file}
    for job in first.jobs.values() if "file_id" not in named else ():
        yield _names(first, job)
    for label in first.labels if named <= BY_LABEL else ():
        yield _names(first, label)


def _seen(first: Furnished, answer: TestResponse) -> list[str]:
    """What an answer has of the first tenant."""
    own = [*first.jobs.values(), *first.labels, *first.keys, *first.files]
    own += [first.door.prefix, first.webhook, first.delivery]
    return [name for name in own if name in answer.text]


def _documented(operation: Operation) -> set[int]:
    return {int(status) for status in operation.responses if status.isdigit()}


def _lasts(operation: Operation) -> bool:
    return operation.path.endswith(("/events", "/stream"))
