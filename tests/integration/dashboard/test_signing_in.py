"""Who may see the page: sessions, the tokens of forms, the link that signs in once."""

from functools import partial
from urllib.parse import quote

import pytest

from app.core.accounts import api_keys, browser_sessions
from app.dashboard import cookie
from models.base import now
from models.session import in_transaction
from models.tenant import BrowserSession
from tests.support.browser_client import SIGN_IN, Browser
from tests.support.front_door import Door

pytestmark = pytest.mark.one_database
HOME = "/ui"
OF_THE_ENVIRONMENT = "9b1f64c0d27e83a5f60e1c7d42b8a953"
FAR = {"environ_base": {"REMOTE_ADDR": "203.0.113.9"}}


def invitation(door: Door) -> str:
    token = in_transaction(partial(browser_sessions.invite, prefix=door.prefix))
    assert token is not None
    return f"/ui/enter?token={token}"


def cookie_line(response) -> str:
    return next(line for line in response.headers.getlist("Set-Cookie") if line.startswith(cookie.NAME))


def leads_to(response) -> str:
    assert response.status_code == 303, response.text
    return response.headers["Location"]


def test_a_key_signs_in_and_its_cookie_is_for_the_page_alone(environment):
    door = Door()
    browser = Browser(door, key="")
    visitor = browser.get(SIGN_IN)

    signed_in = browser.sign_in(door.key)

    assert leads_to(signed_in) == HOME
    line = cookie_line(signed_in)
    assert {"HttpOnly", "SameSite=Lax", "Path=/ui"} <= set(line.split("; "))
    assert "Secure" not in line  # it came over plain HTTP
    assert door.key not in line
    assert line.split(";")[0] != cookie_line(visitor).split(";")[0]
    assert leads_to(browser.get(HOME)) == "/ui/jobs"
    # The cookie opens no contract: a page elsewhere could otherwise call it.
    assert browser.client.get("/api/v1/jobs", **FAR).status_code == 401


def test_behind_tls_the_cookie_is_secure(environment):
    door = Door()
    browser = Browser(door, key="")
    browser.get(SIGN_IN, base_url="https://localhost")
    fields = {"key": door.key, "csrf_token": browser.token}
    signed_in = browser.client.post(SIGN_IN, data=fields, base_url="https://localhost")
    assert "Secure" in cookie_line(signed_in)


def test_only_the_sha256_of_a_session_is_stored(environment):
    browser = Browser(Door())
    token = browser.client.get_cookie(cookie.NAME, path="/ui").value
    stored = in_transaction(lambda session: session.query(BrowserSession).one().token_sha256)
    assert stored != token.encode()
    assert len(stored) == 32


@pytest.mark.parametrize("key", ["pk_aaaaaaaaaa_" + "0" * 64, "sk-ant-not-ours", "\0", "x" * 100_000])
def test_a_wrong_key_is_told_in_a_sentence(environment, key):
    browser = Browser(Door(), key="")
    refused = browser.sign_in(key)
    assert refused.status_code == 401
    assert 'role="alert"' in refused.text
    assert key[-20:] not in refused.text
    assert leads_to(browser.get(HOME)).startswith(SIGN_IN)


def test_who_is_not_signed_in_comes_back_to_the_page_that_was_asked_for(environment):
    door = Door()
    browser = Browser(door, key="")
    assert leads_to(browser.get("/ui/jobs?q=ü")) == f"{SIGN_IN}?next=%2Fui%2Fjobs%3Fq%3D%C3%BC"
    assert leads_to(browser.sign_in(door.key, next="/ui/jobs?q=%C3%BC")) == "/ui/jobs?q=%C3%BC"


@pytest.mark.parametrize("way", ["https://evil.example/", "//evil.example", "/ui\\evil", "/uiX", "/docs", ""])
def test_signing_in_leads_to_our_own_pages_alone(environment, way):
    door = Door()
    browser = Browser(door, key="")
    assert leads_to(browser.sign_in(door.key, next=way)) == HOME


@pytest.mark.parametrize("token", [None, "", "0" * 64])
def test_a_form_without_its_browsers_token_is_refused(environment, token):
    browser = Browser(Door())
    fields = {} if token is None else {"csrf_token": token}
    refused = browser.client.post("/ui/sign-out", data=fields)
    assert refused.status_code == 403
    assert browser.get(HOME).headers["Location"] == "/ui/jobs"


def test_a_token_of_another_browser_is_refused(environment):
    door = Door()
    mine, others = Browser(door), Browser(door)
    mine.get("/ui/jobs")
    assert others.client.post("/ui/sign-out", data={"csrf_token": mine.token}).status_code == 403


@pytest.mark.parametrize(
    "head", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_a_form_of_another_page_is_refused_whatever_it_knows(environment, head):
    browser = Browser(Door())
    browser.get("/ui/jobs")
    assert browser.post("/ui/sign-out", headers=head).status_code == 403


def test_signing_out_ends_the_session_wherever_its_cookie_is(environment):
    door = Door()
    browser, copy = Browser(door), Browser(door, key="")
    token = browser.client.get_cookie(cookie.NAME, path="/ui").value
    copy.client.set_cookie(cookie.NAME, token, path="/ui")
    assert leads_to(copy.get(HOME)) == "/ui/jobs"
    browser.get("/ui/jobs")

    assert leads_to(browser.post("/ui/sign-out")) == SIGN_IN

    assert leads_to(copy.get(HOME)).startswith(SIGN_IN)


def test_what_was_typed_is_shown_where_the_session_has_ended_meanwhile(environment):
    door = Door()
    browser, elsewhere = Browser(door), Browser(door, key="")
    token = browser.client.get_cookie(cookie.NAME, path="/ui").value
    browser.get("/ui/new")
    in_transaction(partial(browser_sessions.end, token=token))
    draft = "/ui/new/0190b6e0-0000-7000-8000-000000000000"
    head = {"Referer": f"http://localhost{draft}"}

    late = browser.post(draft, {"template": "Is <b>this</b> good?", "priority": "5"}, headers=head)
    typing = browser.post(draft, {"template": "x"}, headers={**head, "HX-Request": "true"})
    foreign = browser.post(draft, {"template": "x"}, headers={"Referer": "http://evil.example/ui/new"})

    assert late.status_code == 401
    assert "Is &lt;b&gt;this&lt;/b&gt; good?" in late.text
    back = f"{SIGN_IN}?next={quote(draft, safe='')}"
    assert f'href="{back}"' in late.text
    assert typing.headers["HX-Redirect"] == back
    assert f'href="{SIGN_IN}"' in foreign.text
    assert leads_to(elsewhere.sign_in(door.key, next=draft)) == draft


def test_a_revoked_key_opens_nothing_any_more(environment):
    door = Door()
    browser = Browser(door)
    in_transaction(partial(api_keys.revoke, prefix=door.prefix))
    assert leads_to(browser.get(HOME)).startswith(SIGN_IN)
    part = browser.get("/ui/jobs", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["HX-Redirect"]) == (401, SIGN_IN)


def test_a_session_ends_and_is_swept(environment):
    browser = Browser(Door())
    in_transaction(lambda session: session.query(BrowserSession).update({"expires_at": now(-1)}))
    assert leads_to(browser.get(HOME)).startswith(SIGN_IN)
    assert in_transaction(browser_sessions.forget) == 1


def test_the_link_signs_in_once(environment):
    door = Door()
    way = invitation(door)
    browser, late = Browser(door, key=""), Browser(door, key="")

    assert leads_to(browser.get(way)) == HOME

    assert leads_to(browser.get(HOME)) == "/ui/jobs"
    assert late.get(way).status_code == 401
    assert leads_to(late.get(HOME)).startswith(SIGN_IN)


def test_who_looks_where_the_link_leads_and_who_loads_it_again_is_not_locked_out(environment):
    door = Door()
    way, browser = invitation(door), Browser(door, key="")
    assert browser.client.head(way).status_code == 200
    assert leads_to(browser.get(HOME)).startswith(SIGN_IN)
    assert leads_to(browser.get(way)) == HOME
    assert leads_to(browser.get(way)) == HOME
    assert leads_to(browser.get(HOME)) == "/ui/jobs"


def test_signing_in_anew_ends_the_session_that_the_browser_had(environment):
    door = Door()
    browser, copy = Browser(door), Browser(door, key="")
    copy.client.set_cookie(cookie.NAME, browser.client.get_cookie(cookie.NAME, path="/ui").value, path="/ui")
    assert leads_to(copy.get(HOME)) == "/ui/jobs"

    browser.sign_in(door.key)

    assert leads_to(copy.get(HOME)).startswith(SIGN_IN)
    again = Browser(door)
    copy.client.set_cookie(cookie.NAME, again.client.get_cookie(cookie.NAME, path="/ui").value, path="/ui")
    assert leads_to(again.get(invitation(door))) == HOME
    assert leads_to(copy.get(HOME)).startswith(SIGN_IN)


@pytest.mark.parametrize(
    "asked",
    [FAR, {"headers": {"X-Forwarded-For": "203.0.113.9"}}, {"headers": {"Host": "rebound.example"}}],
    ids=["from afar", "by a proxy", "under another name"],
)
def test_the_link_is_for_this_machine_alone(environment, asked):
    door = Door()
    way = invitation(door)
    assert Browser(door, key="").get(way, **asked).status_code == 403
    assert leads_to(Browser(door, key="").get(way)) == HOME  # which has not used it up


def test_the_link_is_valid_for_a_minute(environment):
    door = Door()
    way = invitation(door)
    in_transaction(lambda session: session.query(BrowserSession).update({"expires_at": now(-1)}))
    assert Browser(door, key="").get(way).status_code == 401


def test_a_link_is_no_session_and_a_session_no_link(environment):
    door = Door()
    token = invitation(door).rpartition("=")[2]
    browser = Browser(door, key="")
    browser.client.set_cookie(cookie.NAME, token, path="/ui")
    assert leads_to(browser.get(HOME)).startswith(SIGN_IN)
    session = Browser(door).client.get_cookie(cookie.NAME, path="/ui").value
    assert Browser(door, key="").get(f"/ui/enter?token={session}").status_code == 401


def test_where_no_key_is_required_one_goes_on_without(environment, monkeypatch):
    door = Door()
    refused = Browser(door, key="").sign_in("")
    assert refused.status_code == 422
    monkeypatch.setenv("REQUIRE_API_KEY", "false")
    from config import settings

    settings.current.cache_clear()
    browser = Browser(Door("acme2"), key="")
    assert leads_to(browser.sign_in("")) == HOME
    assert leads_to(browser.get(HOME)) == "/ui/jobs"


def test_a_key_of_the_environment_signs_in_while_it_is_there(environment, monkeypatch):
    from config import settings

    monkeypatch.setenv("API_KEYS", OF_THE_ENVIRONMENT)
    settings.current.cache_clear()
    door = Door()
    browser = Browser(door, key=OF_THE_ENVIRONMENT)
    assert leads_to(browser.get(HOME)) == "/ui/jobs"
    monkeypatch.delenv("API_KEYS")
    settings.current.cache_clear()
    assert leads_to(browser.get(HOME)).startswith(SIGN_IN)


def test_pages_say_what_they_may_load_and_that_nobody_keeps_them(environment):
    page = Browser(Door(), key="").get(SIGN_IN)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; script-src 'self' 'nonce-")
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    style = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    sheet = Browser(Door("acme3"), key="").get(style)
    assert sheet.status_code == 200
    assert "immutable" in sheet.headers["Cache-Control"]
