"""Errors under the paths of Anthropic's and of OpenAI's API, as their official SDKs take them."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest
from sqlalchemy import select, text, update
from werkzeug.test import TestResponse

from app.core.limits.limiter import limiter
from app.providers import registry
from models import Job, session
from models.session import in_transaction, reading
from models.tenant import Tenant
from tests.support.front_door import Door
from tests.support.servers import wait_until
from tests.support.stack import Stack
from tests.support.upstream import ERROR_TYPES
from tests.support.web_process import WebProcess, web_process

CLAUDE = "claude-haiku-4-5"
ASKED = [{"role": "user", "content": "Why?"}]
VERSION = {"anthropic-version": "2023-06-01"}
OF_ANTHROPIC = (
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/messages/batches",
    "/v1/messages/batches/msgbatch_0",
    "/v1/messages/nothing",
)
OF_OPENAI = (
    "/v1/chat/completions",
    "/v1/chat/nothing",
    "/v1/responses",
    "/v1/responses/resp_1",
    "/v1/embeddings",
    "/v1/batches",
    "/v1/batches/batch_0",
    "/v1/batches/batch_0/nothing",
    "/v1/webhook_endpoints",
    "/v1/webhook_endpoints/we_0",
)
OF_BOTH = ("/v1/models", "/v1/models/nothing", "/v1/files", "/v1/files/file-0", "/v1/nothing", "/v1")


pytestmark = pytest.mark.one_database


def shape_of(response: Any) -> str:
    """Whose error this is, if all that its clients look for is there."""
    body, ids = response.get_json(), {response.headers["request-id"], response.headers["x-request-id"]}
    assert len(ids) == 1
    if "type" in body:
        assert set(body) == {"type", "error", "request_id"}
        assert (body["type"], {body["request_id"]}) == ("error", ids)
        assert body["error"].keys() >= {"type", "message"}
        return "anthropic"
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return "openai"


PATHS = [
    *((path, headers, "anthropic") for path in OF_ANTHROPIC for headers in (VERSION, {})),
    *((path, headers, "openai") for path in OF_OPENAI for headers in (VERSION, {})),
    *((path, VERSION, "anthropic") for path in OF_BOTH),
    *((path, {}, "openai") for path in OF_BOTH),
]


def refusals(door: Door, path: str, headers: Mapping[str, str]) -> Iterator[tuple[str, TestResponse]]:
    """Calls of a path that are refused before, at and behind the door, by what is wrong with them."""
    as_json: dict[str, Any] = {"content_type": "application/json", "headers": headers}
    coded = {**headers, "Content-Encoding": "x"}
    yield "another method", door.call("PATCH", path, headers=headers)
    yield "no such path", door.get(f"{path}/a/b/c/d", headers=headers)
    yield "no key", door.client.open(path, method="GET", headers=headers)
    yield "a key that is not known", door.get(path, headers={**headers, "X-API-Key": "pk_no"})
    yield "a key without the scope", door.other("acme", ("limits",)).get(path, headers=headers)
    yield "no JSON", door.post(path, data=b"{", **as_json)
    yield "an unknown coding", door.post(path, data=b"{}", **{**as_json, "headers": coded})
    yield "another type", door.post(path, data=b"a=b", content_type="text/plain", headers=headers)
    yield "NUL in the query", door.get(f"{path}?a=%00", headers=headers)


def test_every_refusal_has_the_shape_of_its_api_and_the_id_of_its_request(environment):
    door = Door()
    seen = set()
    for path, headers, whose in PATHS:
        for what, response in refusals(door, path, headers):
            # What no view takes is nobody's invalid input.
            is_status_of_api = response.status_code in (400, 401, 403, 404, 405, 415)
            assert is_status_of_api or what == "NUL in the query", (path, what, response.text)
            assert shape_of(response) == whose, (path, what, response.text)
            seen.add(response.status_code)
    for path in ("/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions", "/v1/batches"):
        assert door.post(f"{path}?a=%00", json={}).status_code == 400
    assert seen - {422} == {400, 401, 403, 404, 405, 415}


def test_a_preflight_request_has_both_ids(environment):
    door = Door()
    for path in {path for path, _, _ in PATHS}:
        response = door.call("OPTIONS", path)
        assert response.headers["request-id"] == response.headers["x-request-id"] != ""


def test_a_fault_of_ours_has_the_shape_of_its_api(environment):
    broken = Door()
    with session.engine().begin() as connection:
        connection.execute(text("ALTER TABLE api_key RENAME TO elsewhere"))

    for path, headers, whose in PATHS:
        response = broken.get(path, headers=headers)
        if response.status_code not in (404, 405):  # of what needs no key to be refused
            assert response.status_code == 503
        assert shape_of(response) == whose


# What a provider may say: its status, and the classes that the SDKs have for it.
SAID = {
    400: (anthropic.BadRequestError, openai.BadRequestError),
    401: (anthropic.AuthenticationError, openai.AuthenticationError),
    402: (anthropic.APIStatusError, openai.APIStatusError),
    403: (anthropic.PermissionDeniedError, openai.PermissionDeniedError),
    404: (anthropic.NotFoundError, openai.NotFoundError),
    408: (anthropic.APIStatusError, openai.APIStatusError),
    409: (anthropic.ConflictError, openai.ConflictError),
    413: (anthropic.APIStatusError, openai.APIStatusError),
    422: (anthropic.UnprocessableEntityError, openai.UnprocessableEntityError),
    429: (anthropic.RateLimitError, openai.RateLimitError),
    500: (anthropic.InternalServerError, openai.InternalServerError),
    502: (anthropic.InternalServerError, openai.InternalServerError),
    503: (anthropic.APIStatusError, openai.InternalServerError),
    504: (anthropic.APIStatusError, openai.InternalServerError),
    529: (anthropic.APIStatusError, openai.InternalServerError),
}
ALSO_STREAMED = (400, 429, 529)  # which are refused before a stream has begun
# Classes that newer SDKs have for a status alone.
NEWER = {
    408: "RequestTimeoutError",
    413: "RequestTooLargeError",
    503: "ServiceUnavailableError",
    504: "DeadlineExceededError",
    529: "OverloadedError",
}


@pytest.fixture(scope="module")
def web(running: Stack) -> Iterator[WebProcess]:
    with web_process(running.environment, running.folder, 100) as served:
        yield served


def refused_with(status: int, ask: Callable[..., Any], **wish: Any) -> Any:
    """The SDK's error for the provider's own refusal; what an earlier one has held lets go."""
    found: list[Any] = []

    def is_told() -> bool:
        limiter().clear(registry.limit_group(CLAUDE))
        try:
            ask(model=CLAUDE, messages=ASKED, **wish)
        except (anthropic.APIStatusError, openai.APIStatusError) as error:
            found.append(error)
        return found[-1].status_code == status and f"it is {status}" in str(found[-1])

    wait_until(is_told, what=f"the provider's {status}")
    return found[-1]


def test_a_providers_refusal_is_the_sdks_error_for_it(web, running, upstream):
    claude = anthropic.Anthropic(base_url=web.url, api_key=running.key, max_retries=0)
    gpt = openai.OpenAI(base_url=f"{web.url}/v1", api_key=running.key, max_retries=0)
    for status, (ours, theirs) in SAID.items():
        upstream.configure(faults=[{"kind": "status", "status": status, "message": f"it is {status}"}])
        for streamed in (False, True) if status in ALSO_STREAMED else (False,):
            error = refused_with(status, claude.messages.create, max_tokens=9, stream=streamed)
            assert isinstance(error, getattr(anthropic, NEWER.get(status, ""), ours))
            assert error.type == ERROR_TYPES.get(status, error.type)

            other = refused_with(status, gpt.chat.completions.create, stream=streamed)
            assert isinstance(other, theirs)
            assert other.body["message"] == f"it is {status}"
    limiter().clear(registry.limit_group(CLAUDE))


def test_a_call_that_waits_is_told_when_its_provider_refuses_the_account(web, running, upstream):
    """It passed the door before that was known."""
    claude = anthropic.Anthropic(base_url=web.url, api_key=running.key, max_retries=0, timeout=30)
    group = registry.limit_group(CLAUDE)
    limiter().hold(group, "provider: overloaded", seconds=4.5, every=4.5)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(claude.messages.create, model=CLAUDE, max_tokens=9, messages=ASKED)
        wait_until(lambda: newest().model == CLAUDE, what="the call waits")
        limiter().hold(group, "account: billing_error", seconds=60, every=60)
        with pytest.raises(anthropic.APIStatusError, match="billing_error"):
            told.result()
    limiter().clear(group)
    assert upstream.books() == []


def newest() -> Job:
    with reading() as session:
        return session.scalars(select(Job).order_by(Job.id.desc()).limit(1)).one()


def test_what_our_own_door_refuses_is_the_sdks_error_for_it(web, running):
    claude = anthropic.Anthropic(base_url=web.url, api_key=running.key, max_retries=0)
    gpt = openai.OpenAI(base_url=f"{web.url}/v1", api_key=running.key, max_retries=0)
    poor = running.of_tenant("poor")
    none = update(Tenant).where(Tenant.id == poor.tenant_id).values(records_per_day=0)
    in_transaction(lambda session: session.execute(none))
    wish = {"model": "simulated", "max_tokens": 9, "messages": ASKED}

    with pytest.raises(anthropic.RateLimitError, match="records_per_day") as full:
        claude.with_options(api_key=poor.key).messages.create(**wish)
    assert full.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.RateLimitError, match="records_per_day") as full_too:
        gpt.with_options(api_key=poor.key).chat.completions.create(model="simulated", messages=ASKED)
    assert full_too.value.response.headers["x-should-retry"] == "false"

    long = [{"role": "user", "content": "x" * 17_000_000}]
    with pytest.raises(anthropic.APIStatusError) as large:
        claude.messages.create(model="simulated", max_tokens=9, messages=long)
    assert (large.value.status_code, large.value.type) == (413, "request_too_large")
    with pytest.raises(openai.APIStatusError) as large_too:
        gpt.chat.completions.create(model="simulated", messages=long)
    assert (large_too.value.status_code, large_too.value.code) == (413, "request_too_large")


def test_no_server_and_no_answer_in_time_are_the_sdks_own_errors(web, running):
    slow = {"simulate": {"latency_ms": 30_000}}
    claude = anthropic.Anthropic(base_url=web.url, api_key=running.key, max_retries=0, timeout=0.5)
    with pytest.raises(anthropic.APITimeoutError):
        claude.messages.create(model="simulated", max_tokens=9, messages=ASKED, extra_body=slow)
    gpt = openai.OpenAI(base_url=f"{web.url}/v1", api_key=running.key, max_retries=0, timeout=0.5)
    with pytest.raises(openai.APITimeoutError):
        gpt.chat.completions.create(model="simulated", messages=ASKED, extra_body=slow)
    with pytest.raises(anthropic.APIConnectionError):
        claude.with_options(base_url="http://127.0.0.1:1").messages.create(
            model="simulated", max_tokens=9, messages=ASKED
        )
    with pytest.raises(openai.APIConnectionError):
        gpt.with_options(base_url="http://127.0.0.1:1/v1").models.list()
