"""Who may do what on the page: made from its routes, so that a new one is in it by itself.

Each view must refuse by scope, by tenant and by user whom the native contract refuses, and a form without its
browser's token.
"""

import io
import re
from collections.abc import Iterator, Mapping

import pytest
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from app.core.accounts import api_keys
from app.core.accounts.api_keys import READ, SCOPES
from app.web import auth
from tests.conftest import penstock_of_its_own
from tests.support.browser_client import SIGN_IN, Browser
from tests.support.front_door import Door
from tests.support.furnished_tenant import OPERATION, Furnished, furnish, key_of

PART = re.compile(r"<(?:\w+:)?(\w+)>")
# What stands in a path for a parameter of this name: OWNED means something to its tenant or user alone.
OWNED = {"job_id", "uid", "key_id", "webhook_id", "delivery_id"}
SHARED = {"group": "simulated", "name": OPERATION, "index": "0", "format": "csv", "rest": "nothing"}
OF_NOBODY = {"sign_in.show_sign_in", "sign_in.sign_in", "sign_in.enter", "assets.send_asset"}
SIGN_OUT = "/ui/sign-out"
SHEET = b"review\nGood\nBad\n"
FORM = {"content_type": "multipart/form-data"}
TYPED = {"event_type": "job.failed"}  # without which a form is refused before its names are looked up


@pytest.fixture(scope="module")
def first(request, tmp_path_factory) -> Iterator[Furnished]:
    """The tenant that has what nobody else may reach."""
    folder = tmp_path_factory.mktemp("views")
    with penstock_of_its_own("sqlite", request, folder, DEFAULT_MODEL="simulated"):
        yield furnish(Door("first"))


@pytest.fixture(scope="module")
def owner(first) -> Browser:
    return Browser(first.door)


@pytest.fixture(scope="module")
def names(first, owner) -> dict[str, str]:
    """A value for each part of a path."""
    owner.get("/ui/new")
    sheet = (io.BytesIO(SHEET), "private.csv")
    dropped = owner.post("/ui/new", {"file": sheet}, **FORM)
    own = {
        "uid": dropped.headers["Location"].rpartition("/")[2],
        "job_id": first.jobs["ended"],
        "key_id": first.keys[-1],
        "webhook_id": first.webhook,
        "delivery_id": first.delivery,
    }
    assert own.keys() == OWNED
    return own | SHARED


@pytest.fixture(scope="module")
def views(first) -> list[Rule]:
    """The page's routes, but for those that need no session."""
    rules = first.door.app.url_map.iter_rules()
    found = [rule for rule in rules if rule.endpoint.startswith("dashboard.")]
    return [rule for rule in found if rule.endpoint.removeprefix("dashboard.") not in OF_NOBODY]


@pytest.fixture
def unchanged(first) -> Iterator[None]:
    """What the first tenant has is the same after the test; its browsers come and go."""
    before = first.rows()
    yield
    assert first.rows() == before


def test_what_needs_no_session_is_what_leads_to_one(first, views):
    public = {
        rule.endpoint.removeprefix("dashboard.")
        for rule in first.door.app.url_map.iter_rules()
        if rule.endpoint.startswith("dashboard.") and _scope(first, rule) == auth.PUBLIC
    }
    assert public == OF_NOBODY
    assert len(views) > 50


def test_without_a_session_every_view_leads_to_the_sign_in_and_no_form_does_anything(
    first, views, names, unchanged
):
    visitor = Browser(first.door, key="")
    visitor.get(SIGN_IN)
    visitor.client.environ_base["HTTP_X_API_KEY"] = first.door.key  # which opens no page
    for rule, method in _all(views):
        answer = _open(visitor, method, rule, names)
        is_led = answer.status_code == 303 and answer.headers["Location"].startswith(SIGN_IN)
        assert is_led if method == "GET" else answer.status_code == 401, (method, rule, answer.status_code)
        assert "private.csv" not in answer.text


def test_no_form_does_anything_without_its_token_or_for_a_page_elsewhere(first, views, names, unchanged):
    browser, other = Browser(first.door), Browser(first.door)
    browser.get("/ui/jobs")
    other.get("/ui/jobs")
    good = {"csrf_token": browser.token}
    tries = {
        "no token": ({}, {}),
        "an empty one": ({"csrf_token": ""}, {}),
        "another browser's": ({"csrf_token": other.token}, {}),
        "another browser's in a header": ({}, {"X-CSRF-Token": other.token}),
        "another site's page": (good, {"Sec-Fetch-Site": "cross-site"}),
        "another port's page": (good, {"Sec-Fetch-Site": "same-site"}),
        "another origin": (good, {"Origin": "http://localhost.evil.example"}),
        "an origin that hides": (good, {"Origin": "null"}),
        "htmx of another origin": (good, {"Origin": "http://evil.example", "HX-Request": "true"}),
    }
    for rule, method in _all(views):
        if method == "POST":
            for what, (fields, headers) in tries.items():
                answer = browser.client.post(_path(rule, names), data=fields, headers=headers, **FORM)
                assert answer.status_code == 403, (rule, what, answer.status_code)
            assert browser.client.get(_path(rule, names)).status_code < 500, rule


def test_a_key_with_one_scope_opens_what_needs_that_scope_and_nothing_else(first, views, names):
    missing = names | dict.fromkeys(OWNED, "00000000-0000-7000-8000-000000000000")
    for scope in SCOPES:
        browser = Browser(first.door, key_of("alone", scope))
        browser.get("/ui/nothing")
        browser.token = _token(browser)
        for rule, method in _all(views):
            if rule.rule == SIGN_OUT:
                continue
            needed = _scope(first, rule)
            allowed = needed in (None, scope, *api_keys.IMPLIED.get(scope, ()))
            answer = _open(browser, method, rule, missing)
            lacks = answer.status_code == 403 and "needs a key with the scope" in answer.text
            assert lacks is not allowed, (method, rule, scope, answer.status_code, answer.text[:300])


def test_what_only_reads_is_all_that_a_key_that_reads_may_send(first, views):
    sent = {rule.rule for rule, method in _all(views) if method == "POST" and _scope(first, rule) == READ}
    assert sent == {"/ui/prompts/<name>/preview"}


def test_what_belongs_to_one_tenant_is_not_there_for_another_one(first, views, names, unchanged):
    other = Browser(first.door, key_of("other", *SCOPES))
    other.get("/ui/jobs")
    own = [*first.jobs.values(), *first.labels, *first.keys, *first.files, names["uid"], "private.csv"]
    own += [first.door.prefix, first.webhook, first.delivery]
    for rule, method in _all(views):
        if rule.rule == SIGN_OUT or (method == "POST" and not rule.arguments):
            continue
        for job in first.jobs.values() if "job_id" in rule.arguments else [names["job_id"]]:
            asked = names | {"job_id": job}
            answer = _open(other, method, rule, asked)
            if rule.arguments & OWNED:
                assert answer.status_code == 404, (method, rule, answer.status_code)
            told = answer.text.replace(_path(rule, asked), "")
            assert [name for name in own if name in told and name not in _path(rule, asked)] == [], rule


def test_a_draft_is_its_users_own(first, owner, views, names):
    colleague = Browser(first.door.colleague("bob", ("admin",)))
    colleague.get("/ui/jobs")
    for rule, method in _all(views):
        if "uid" in rule.arguments:
            assert _open(colleague, method, rule, names).status_code == 404, (method, rule)
    assert "private.csv" not in colleague.see("/ui/new")
    assert "private.csv" in owner.see("/ui/new")


def test_the_owner_reaches_all_of_it(first, owner, views, names):
    """So that a 404 above is about the owner, and not about the name."""
    for rule, method in _all(views):
        if method == "GET" and rule.arguments & OWNED:
            answer = _open(owner, method, rule, names)
            assert answer.status_code == 200, (rule, answer.status_code, answer.text[:300])


def _all(views: list[Rule]) -> Iterator[tuple[Rule, str]]:
    for rule in views:
        for method in sorted({"GET", "POST"} & (rule.methods or set())):
            yield rule, method


def _open(browser: Browser, method: str, rule: Rule, names: Mapping[str, str]) -> TestResponse:
    """What a view answers; the beginning of one that is a stream is read, and no more."""
    path = _path(rule, names)
    if method == "POST":
        return browser.post(path, TYPED, **FORM)
    if not path.endswith(("/live", "/rows")):
        return browser.client.get(path)
    stream = browser.client.get(path, buffered=False)
    if stream.mimetype == "text/event-stream":
        chunk = next(stream.iter_encoded(), b"")
        stream.close()
        stream.response, stream.headers["Content-Length"] = [chunk], str(len(chunk))
    return stream


def _path(rule: Rule, names: Mapping[str, str]) -> str:
    return PART.sub(lambda part: names[part[1]], rule.rule)


def _token(browser: Browser) -> str:
    """Of a session whose key may open no page with a form: that of its sign-out."""
    return browser.token or browser.get(SIGN_IN).text.partition('name="csrf_token" value="')[2][:64]


def _scope(first: Furnished, rule: Rule) -> str | None:
    return auth.scope_of(first.door.app.view_functions[rule.endpoint])
