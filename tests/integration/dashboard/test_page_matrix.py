"""Who may see and do what on the page: made from its routes, so that a new one is in it by itself."""

import io
import re
from collections.abc import Iterator

import pytest
from werkzeug.routing import Rule

from app.core.accounts.api_keys import IMPLIED, SCOPES
from app.dashboard.blueprint import PREFIX
from app.web import auth
from config import settings
from tests.conftest import penstock_of_its_own
from tests.support.browser_client import Browser
from tests.support.front_door import Door
from tests.support.furnished_tenant import OPERATION, Furnished, furnish, key_of

FORM = "multipart/form-data"
SIGN_IN = f"{PREFIX}/sign-in"
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
# Values for parameters that mean something to every tenant; those of all others are somebody's.
SHARED = {"group": "simulated", "name": OPERATION, "index": "0", "format": "csv", "rest": "nowhere"}


@pytest.fixture(scope="module")
def first(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    """The tenant that has what nobody else may reach."""
    folder = tmp_path_factory.mktemp("pages")
    with penstock_of_its_own("sqlite", request, folder, DEFAULT_MODEL="simulated"):
        yield furnish(Door("first"))
    settings.current.cache_clear()


@pytest.fixture(scope="module")
def own(first: Furnished) -> dict[str, str]:
    """What the first tenant has, by the parameter that names it."""
    browser = Browser(first.door)
    browser.get(f"{PREFIX}/new")
    sheet = {"file": (io.BytesIO(b"review\nGood\n"), "private.csv")}
    dropped = browser.post(f"{PREFIX}/new", sheet, content_type=FORM)
    assert dropped.status_code == 303, dropped.text
    return {
        "job_id": first.jobs["ended"],
        "key_id": first.keys[-1],
        "webhook_id": first.webhook,
        "delivery_id": first.delivery,
        "uid": dropped.headers["Location"].rpartition("/")[2],
    }


@pytest.fixture(scope="module")
def pages(first: Furnished) -> list[tuple[str, Rule, str | None]]:
    """Each page that is not public: its method, its rule and the scope that it needs."""
    app = first.door.app
    found = [
        (method, rule, auth.scope_of(app.view_functions[rule.endpoint]))
        for rule in app.url_map.iter_rules()
        if rule.rule == PREFIX or rule.rule.startswith(f"{PREFIX}/")
        for method in (rule.methods or set()) & {"GET", "POST"}
    ]
    return [(method, rule, scope) for method, rule, scope in found if scope != auth.PUBLIC]


def path_of(rule: Rule, own: dict[str, str]) -> str:
    """A parameter of a new name fails here until its value is in `own` or `SHARED`."""
    return PARAMETER.sub(lambda found: (own | SHARED)[found[1]], rule.rule)


def test_who_is_not_signed_in_is_led_to_the_sign_in_whatever_key_the_request_has(first, own, pages):
    assert len(pages) > 50
    for method, rule, _ in pages:
        for head in ({}, first.door.headers):
            answer = first.door.app.test_client().open(path_of(rule, own), method=method, headers=head)
            if method == "GET":
                assert (answer.status_code, answer.headers["Location"][: len(SIGN_IN)]) == (303, SIGN_IN), (
                    rule
                )
            else:
                assert answer.status_code == 401, rule


def test_a_session_opens_what_its_key_may_and_nothing_else(first, own, pages):
    # Given a browser for each scope alone
    for held in SCOPES:
        browser = Browser(first.door, key_of("first", held))
        allowed = {held, *IMPLIED.get(held, ()), None}
        browser.get(f"{PREFIX}/nowhere")  # its form to sign out has the token

        # Then it is refused every page that needs another one
        for method, rule, scope in pages:
            if scope not in allowed:
                ask = browser.get if method == "GET" else browser.post
                answer = ask(path_of(rule, own))
                assert answer.status_code == 403, (held, method, rule)
                assert "this call needs a key with the scope" in answer.text.lower(), (held, method, rule)


def test_no_form_is_taken_without_its_token(first, own, pages):
    browser, before = Browser(first.door, key_of("first", "admin", "operator")), first.rows()
    for method, rule, _ in pages:
        if method == "POST":
            answer = browser.client.post(path_of(rule, own), data={"name": "x"}, content_type=FORM)
            assert answer.status_code == 403, rule
            assert "The form is out of date" in answer.text, rule
    assert first.rows() == before


def test_nobody_reaches_what_is_another_tenant_s(first, own, pages):
    stranger, before = Browser(first.door.other("stranger")), first.rows()
    stranger.get(f"{PREFIX}/nowhere")
    for method, rule, _ in pages:
        if rule.arguments & own.keys():
            ask = stranger.get if method == "GET" else stranger.post
            answer = ask(path_of(rule, own))
            assert answer.status_code == 404, (method, rule)
            assert "private.csv" not in answer.text
    assert first.rows() == before
