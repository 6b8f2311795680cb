"""Limits, usage, keys, webhooks and prompts on the page: who sees what, and what the forms do."""

import re

import pytest

from app.core.limits import allowances
from app.core.limits.limiter import CallTerms, limiter
from app.core.limits.obstacle import Obstacle
from app.dashboard import prompt_overrides
from app.ingest import operations
from app.providers.client import RateLimits, Usage
from app.services.prompt_overrides import Texts
from models.session import reading
from tests.support.browser_client import Browser
from tests.support.front_door import Door, Worker, number_of

pytestmark = pytest.mark.one_database

ONCE = re.compile(r'name="once" value="([^"]+)"')
KEY = re.compile(r"pk_[a-z2-7]{10}_[0-9a-f]{64}")
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{20,}")
PLACES = ("limits", "usage", "keys", "webhooks", "webhooks/deliveries", "prompts")


@pytest.fixture
def door(environment):
    return Door()


@pytest.fixture
def browser(door):
    return Browser(door)


def with_scopes(door, *scopes, tenant="acme"):
    return Browser(door.other(tenant, scopes))


def new_webhook(browser, name="Batches"):
    once = ONCE.search(browser.see("/ui/webhooks/new"))[1]
    asked = {"once": once, "name": name, "url": "https://example.com/hooks", "event_types": "job.completed"}
    return browser.post("/ui/webhooks", asked)


def test_every_place_says_what_to_do_first_where_there_is_nothing(browser):
    for place in PLACES:
        assert browser.see(f"/ui/{place}").count("<h1>") == 1


@pytest.mark.parametrize(
    ("scope", "open_places"),
    [
        ("jobs:read", {"limits", "usage", "prompts"}),
        ("limits", {"limits"}),
        ("keys", {"keys"}),
        ("webhooks", {"webhooks", "webhooks/deliveries"}),
        ("operator", {"limits"}),
    ],
)
def test_a_scope_opens_its_places_alone(door, scope, open_places):
    browser = with_scopes(door, scope)
    found = {place: browser.get(f"/ui/{place}").status_code for place in PLACES}
    assert found == {place: 200 if place in open_places else 403 for place in PLACES}


@pytest.mark.parametrize(
    "path",
    ["limits/simulated", "keys", "webhooks", "webhooks/secret", "prompts/chat", "prompts/chat/built-in"],
)
def test_a_key_that_only_reads_changes_nothing(door, path):
    browser = with_scopes(door, "jobs:read")
    for place in ("limits", "prompts", "prompts/chat"):
        main = browser.see(f"/ui/{place}").partition("<main")[2]
        assert 'method="post"' not in main
    assert browser.post(f"/ui/{path}", {"name": "x", "scopes": "jobs:read", "prompt": "x"}).status_code == 403


# Limits


def test_an_operator_sets_figures_and_takes_them_back(door):
    door.submit(1)
    operator = with_scopes(door, "operator", "jobs:read")
    assert 'value=""' in operator.see("/ui/limits/simulated")

    page = operator.follow(operator.post("/ui/limits/simulated", {"requests_per_minute": "1,200"}))
    assert "simulated is set for all workers within a second." in page
    assert "1,200" in page
    assert "set by an operator" in page
    assert 'value="1200"' in operator.see("/ui/limits/simulated")

    page = operator.follow(operator.post("/ui/limits/simulated", {"requests_per_minute": ""}))
    assert "set by an operator" not in page


@pytest.mark.parametrize("figure", ["0", "-5", "many", "1.5", "9" * 30, "²"])
def test_a_figure_that_is_none_is_told_beside_its_field(door, figure):
    operator = with_scopes(door, "operator")
    refused = operator.post(
        "/ui/limits/simulated", {"max_concurrent_calls": figure, "requests_per_minute": "7"}
    )
    assert refused.status_code == 422
    assert 'id="max_concurrent_calls-fault"' in refused.text
    assert 'value="7"' in refused.text  # nothing typed is lost
    with reading() as session:
        assert allowances.read(session, "simulated").limits.requests is None


def test_a_group_that_nobody_knows_is_not_there(door):
    operator = with_scopes(door, "operator")
    assert operator.get("/ui/limits/nobody").status_code == 404
    assert operator.post("/ui/limits/nobody", {"requests_per_minute": "1"}).status_code == 404


def test_a_held_group_says_by_whom_why_and_what_to_mend(door):
    door.submit(1)
    what = Obstacle("the provider refuses <b>the account</b>: put a working key into X", variable="X_API_KEY")
    limiter().hold("simulated", "account: authentication_error", seconds=60, every=60, detail=what.to_json())
    page = with_scopes(door, "jobs:read").see("/ui/limits")
    part = Browser(door).get("/ui/limits", headers={"HX-Request": "true"}).text
    for html in (page, part):
        assert "The provider refuses the account." in html
        assert "The provider refuses &lt;b&gt;the account&lt;/b&gt;" in html
        assert "<code>X_API_KEY</code>" in html
        assert "Tried again at" in html
    assert "<html" not in part
    assert "hx-" not in part  # a region that is swapped holds plain links and forms


def test_jobs_that_wait_are_linked_and_those_of_others_counted(door):
    # Given a group that one job has used up while jobs of two tenants wait for it
    operator, reader = with_scopes(door, "operator"), with_scopes(door, "jobs:read")
    mine, others = door.submit(1, name="<mine>"), door.other().submit(1, name="theirs")
    of = RateLimits(requests=10)
    assert limiter().take(CallTerms("simulated", 99, of), 1, 1).count == 1

    def seen_by(browser):
        for job in map(number_of, (mine, others)):  # who waits asks again and again
            assert limiter().take(CallTerms("simulated", job, of, tenant_id=job), 1, 1).count == 0
        return browser.see("/ui/limits")

    # Then who sees all is told of both, and a tenant of its own
    page = seen_by(operator)
    assert "2 jobs waiting" in page
    assert f'href="/ui/jobs/{mine["id"]}"' in page
    assert "&lt;mine&gt;" in page
    assert "1 job of other tenants" in page
    assert "theirs" not in page
    page = seen_by(reader)
    assert "1 job waiting" in page
    assert "of other tenants" not in page


def test_what_all_tenants_use_is_for_operators(door):
    door.submit(1)
    assert ">Used<" not in with_scopes(door, "jobs:read").see("/ui/limits")
    assert ">Used<" in with_scopes(door, "operator", tenant="ops").see("/ui/limits")
    assert "No limits are in use" in with_scopes(door, "jobs:read", tenant="other").see("/ui/limits")


# Usage


def test_a_month_is_shown_by_day_model_and_key_and_downloaded(door, browser):
    job = door.colleague("<script>").submit(2)
    Worker().end(job, range(2), model="claude-haiku-4-5")

    page = browser.see("/ui/usage")
    assert "&lt;script&gt;" in page
    assert "<script>" not in page.partition("<main")[2]
    assert page.count('class="spent"') >= 28
    way = re.search(r'href="(/ui/usage\.csv\?month=[0-9-]+)"', page)[1]
    file = browser.get(way)
    assert file.mimetype == "text/csv"
    assert "attachment" in file.headers["Content-Disposition"]
    assert file.text.count("claude-haiku-4-5") == 1

    other = with_scopes(door, "jobs:read", tenant="other")
    assert "Nothing was spent in this month" in other.see("/ui/usage")
    assert "claude" not in other.get(way).text


def test_another_month_has_a_link_and_a_name(browser):
    page = browser.see("/ui/usage?month=2024-01")
    assert 'href="?month=2023-12"' in page
    assert 'href="?month=2024-02"' in page
    for month in ("2024-13", "soon", "0001-01"):
        assert browser.get(f"/ui/usage?month={month}").status_code == 422


def test_answers_without_a_price_are_told(door, browser):
    Worker().end(door.submit(2), range(2), model="claude-of-tomorrow")
    page = browser.see("/ui/usage")
    assert "have no price" in page
    assert "2 answers" in page


def test_what_a_month_saved_is_told(door, browser):
    assert ">Saved<" not in browser.see("/ui/usage")
    twice = [{"prompt": "the same"}] * 2
    job = door.post_records(twice, dedupe=True).get_json()
    Worker().end(job, [0], model="claude-haiku-4-5", usage=lambda claim: Usage(10, 5, cache_read_tokens=900))

    page = browser.see("/ui/usage")
    assert ">Saved<" in page
    assert "1 record asked once with an equal one, " in page
    assert "by providers’ prompt caches" in page


# Keys


def test_a_new_key_is_shown_once_and_works(door, browser):
    once = ONCE.search(browser.see("/ui/keys/new"))[1]
    asked = {"once": once, "name": "nightly script", "scopes": ["jobs:read", "jobs:write"]}
    made = browser.post("/ui/keys", asked)

    assert made.status_code == 200
    assert made.headers["Cache-Control"] == "no-store"
    (key,) = set(KEY.findall(made.text))
    assert door.client.get("/api/v1/me", headers={"X-API-Key": key}).get_json()["scopes"] == asked["scopes"]
    # A reload sends the form again: it makes no other key
    assert set(KEY.findall(browser.post("/ui/keys", asked).text)) == {key}
    # No other page has it
    page = browser.see("/ui/keys")
    assert not KEY.search(page)
    assert page.count("nightly script") == 2  # its name, and on its button
    # Changed, it is another key
    (other,) = set(KEY.findall(browser.post("/ui/keys", asked | {"name": "another"}).text))
    assert other != key


@pytest.mark.parametrize(
    "asked",
    [
        {"name": "x", "scopes": "operator"},
        {"name": "x", "scopes": "jobs:read"},
        {"name": "x", "scopes": "keys", "user": "ada"},
        {"name": "x"},
        {"name": "", "scopes": "keys"},
        {"name": "two\nlines", "scopes": "keys"},
        {"name": "x", "scopes": "nonsense"},
    ],
)
def test_a_key_gives_only_what_it_has_and_says_what_is_wrong(door, asked):
    holder = door.other("acme", ["keys"])
    browser = Browser(door.colleague("grace", ["keys"]))
    refused = browser.post("/ui/keys", asked)
    assert refused.status_code in (403, 422)
    assert 'role="alert"' in refused.text
    assert not KEY.search(refused.text)
    assert holder.prefix in browser.see("/ui/keys")
    assert "<code>operator</code>" not in browser.see("/ui/keys/new")


def test_a_revoked_key_is_refused_and_its_browser_signed_out(door, browser):
    colleague = door.colleague("grace")
    theirs = Browser(colleague)
    way = re.search(rf'{colleague.prefix}.*?href="(/ui/keys/[^"]+/revoke)"', browser.see("/ui/keys"), re.S)[1]
    assert "cannot be undone" in browser.see(way)

    page = browser.follow(browser.post(way))

    assert "is revoked." in page
    assert colleague.get("/api/v1/me").status_code == 401
    assert theirs.get("/ui/usage").headers["Location"].startswith("/ui/sign-in")
    assert "It was revoked" in browser.see(way)
    stranger = Browser(door.other())
    assert stranger.get(way).status_code == stranger.post(way).status_code == 404


def test_a_key_with_more_rights_is_not_revoked(door):
    browser = with_scopes(door, "keys")
    admin = door.get("/api/v1/keys").get_json()["data"][0]["id"]
    page = browser.see("/ui/keys")
    assert f"/ui/keys/{admin}/revoke" not in page
    assert "cannot revoke it" in browser.see(f"/ui/keys/{admin}/revoke")
    assert browser.post(f"/ui/keys/{admin}/revoke").status_code == 403


def test_keys_come_in_pages(door, browser):
    for number in range(51):
        door.post("/api/v1/keys", json={"name": f"key {number}"})
    first = browser.see("/ui/keys")
    second = browser.see("/ui/keys" + re.search(r'rel="next" href="([^"]+)"', first)[1])
    assert "key 50<" in first
    assert "key 0<" in second
    assert "key 0<" not in first
    assert 'rel="next"' not in second


# Webhooks


def test_a_webhook_is_registered_once_changed_switched_off_and_deleted(door, browser):
    once = ONCE.search(browser.see("/ui/webhooks/new"))[1]
    asked = {"once": once, "name": "Büro", "url": "https://example.com/hooks", "event_types": "job.completed"}
    made = browser.post("/ui/webhooks", asked)
    assert browser.post("/ui/webhooks", asked).headers["Location"] == made.headers["Location"]
    way = made.headers["Location"]
    assert "Büro" in browser.follow(made)

    page = browser.follow(browser.post(way, asked | {"name": "Office", "event_types": "job.failed"}))
    assert "Office is changed." in page
    page = browser.follow(browser.post(f"{way}/enabled", {"enabled": "false"}))
    assert "Its owner has switched it off." in page
    browser.follow(browser.post(f"{way}/enabled", {"enabled": "true"}))
    (endpoint,) = door.get("/api/v1/webhooks").get_json()["data"]
    assert (endpoint["name"], endpoint["event_types"], endpoint["enabled"]) == (
        "Office",
        ["job.failed"],
        True,
    )

    assert "cannot be sent again" in browser.see(f"{way}/delete")
    assert "No webhooks yet" in browser.follow(browser.post(f"{way}/delete"))


def test_a_secret_is_shown_by_a_form_alone(door, browser):
    way = new_webhook(browser).headers["Location"]
    for path in ("/ui/webhooks", way):
        assert not SECRET.search(browser.see(path))

    (secret,) = set(SECRET.findall(browser.post(f"{way}/secret").text))

    browser.follow(browser.post(f"{way}/rotate", {"keep": "on"}))
    assert set(SECRET.findall(browser.post(f"{way}/secret").text)) != {secret}
    of_jobs = door.get("/api/v1/webhook-secret").get_json()["secret"]
    assert of_jobs in browser.post("/ui/webhooks/secret").text.replace("&#43;", "+")
    assert browser.get(f"{way}/secret").status_code in (404, 405)


@pytest.mark.parametrize(
    ("field", "value"),
    [("url", "http://example.com/x"), ("url", "https://10.0.0.1/"), ("name", " "), ("event_types", "none")],
)
def test_what_is_wrong_with_a_webhook_is_told_and_nothing_typed_is_lost(browser, field, value):
    asked = {"name": "Mine", "url": "https://example.com/", "event_types": "job.failed"} | {field: value}
    refused = browser.post("/ui/webhooks", asked)
    assert refused.status_code == 422
    assert 'class="fault"' in refused.text
    assert ("Mine" in refused.text) == (field != "name")


def test_nobody_sees_the_webhooks_of_another_tenant(door, browser):
    way = new_webhook(browser).headers["Location"]
    stranger = Browser(door.other())
    assert "No webhooks yet" in stranger.see("/ui/webhooks")
    for path in (way, f"{way}/delete"):
        assert stranger.get(path).status_code == 404
    for verb in ("", "/enabled", "/secret", "/rotate", "/delete"):
        assert stranger.post(way + verb, {"name": "x", "url": "x", "event_types": "x"}).status_code == 404
    assert stranger.post(f"{way}/test", {"event_type": "job.failed"}).status_code == 404
    endpoint = way.rpartition("/")[2]
    assert stranger.get(f"/ui/webhooks/deliveries?endpoint={endpoint}").status_code == 404


def test_a_delivery_is_shown_and_sent_again(door, browser):
    # Given an ended job and a webhook that was told of it, and switched off since
    way = new_webhook(browser).headers["Location"]
    job = door.submit(1)
    door.post(f"/api/v1/jobs/{job['id']}/cancel")
    browser.post(way, {"name": "x", "url": "https://example.com/", "event_types": "job.cancelled"})
    job = door.submit(1)
    door.post(f"/api/v1/jobs/{job['id']}/cancel")
    (delivery,) = door.get("/api/v1/webhook-deliveries").get_json()["data"]

    # Then it is listed, by its endpoint, its job and its status, and can be sent again when it has ended
    endpoint = way.rpartition("/")[2]
    for query in ("", f"?endpoint={endpoint}", f"?job={job['id']}", "?status=pending"):
        page = browser.see(f"/ui/webhooks/deliveries{query}")
        assert delivery["id"] in page
        assert "Send again" not in page
    assert delivery["id"] not in browser.see("/ui/webhooks/deliveries?status=failed")
    one = f"/ui/webhooks/deliveries/{delivery['id']}"
    assert delivery["event_id"] in browser.see(one)

    browser.post(f"{way}/enabled", {"enabled": "false"})
    assert browser.post(f"{one}/resend").status_code == 409
    browser.post(f"{way}/enabled", {"enabled": "true"})
    assert "given up" in browser.see(one)
    assert "is sent again now" in browser.follow(browser.post(f"{one}/resend"))
    assert door.get("/api/v1/webhook-deliveries").get_json()["data"][0]["status"] == "pending"

    stranger = Browser(door.other())
    assert stranger.get(one).status_code == stranger.post(f"{one}/resend").status_code == 404


# Prompts


def test_every_operation_has_an_example_that_fits_it():
    for name, operation in operations.shipped().items():
        preview = prompt_overrides._preview(Texts(name, operation, None), None, None)
        assert preview.fault is None
        assert preview.prompt
        assert name in prompt_overrides.MEANINGS


def test_own_texts_are_previewed_saved_and_given_up_again(door, browser):
    asked = {"prompt": "In one word:\r\n{{ question }}", "system": ""}
    part = browser.post("/ui/prompts/chat/preview", asked, headers={"HX-Request": "true"}).text
    assert "In one word:\nDo you deliver to islands?" in part
    assert "<html" not in part
    whole = browser.post("/ui/prompts/chat/preview", asked)
    assert "In one word:\nDo you deliver to islands?" in whole.text
    assert door.get("/api/v1/prompt-overrides/chat").status_code == 404

    page = browser.follow(browser.post("/ui/prompts/chat", asked))
    assert "Your texts for chat are saved" in page
    own = door.get("/api/v1/prompt-overrides/chat").get_json()
    assert (own["prompt"], own["system"]) == ("In one word:\n{{ question }}", None)
    assert ">your own<" in browser.see("/ui/prompts")
    assert ">your own<" not in Browser(door.colleague("grace")).see("/ui/prompts")

    browser.follow(browser.post("/ui/prompts/chat/built-in"))
    assert door.get("/api/v1/prompt-overrides/chat").status_code == 404


@pytest.mark.parametrize("prompt", ["{{ question", "{% for x in y %}{% endfor %}", " ", "{{ question }}\0"])
def test_what_is_no_template_is_not_saved(door, browser, prompt):
    refused = browser.post("/ui/prompts/chat", {"prompt": prompt})
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text
    assert door.get("/api/v1/prompt-overrides/chat").status_code == 404


def test_a_template_that_does_not_fit_the_example_says_so(browser):
    part = browser.post("/ui/prompts/qa/preview", {"prompt": "{{ nothing }}"}, headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert 'class="fault' in part.text


def test_flower_is_linked_where_it_is_known(door, browser, monkeypatch):
    from config import settings

    assert "Flower" not in browser.see("/ui/usage")
    monkeypatch.setenv("FLOWER_URL", "http://127.0.0.1:5555")
    settings.current.cache_clear()
    assert 'href="http://127.0.0.1:5555"' in browser.see("/ui/usage")
