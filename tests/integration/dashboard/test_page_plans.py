"""Every view of the page finds its rows by an index: it is made from the routes, so a new view is in it."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from app.core.accounts.api_keys import SCOPES
from app.dashboard.blueprint import PREFIX
from app.web import auth
from config import settings
from models import session
from tests.integration.test_plans import OF_LISTS, fill_lists, nodes
from tests.support.browser_client import Browser
from tests.support.front_door import Door
from tests.support.furnished_tenant import OPERATION, Furnished, furnish, key_of

pytestmark = pytest.mark.parametrize("environment", ["postgresql"], indirect=True)

FORM = "multipart/form-data"
# What the addresses of a view ask besides.
ASKED = {
    "/ui/jobs": ("?q=new", "?status=paused", "?status=with_failures&q=new", "?q={cursor}"),
    "/ui/jobs/live": ("?q=new&status=paused",),
    "/ui/jobs/<job_id>/records": ("?status=failed", "?q=say", "?q=say&status=failed", "?error=server_error"),
    "/ui/jobs/<job_id>/compare": ("?with={job}", "?with={job}&part=same"),
    "/ui/usage": ("?month=2026-01",),
}


def test_every_view_finds_its_rows_by_an_index(environment, statements_with_values, monkeypatch):
    # Given a tenant that has some of everything
    monkeypatch.setenv("DEFAULT_MODEL", "simulated")
    settings.current.cache_clear()
    door = Door("first")
    own, browser = everything(furnish(door)), Browser(door, key_of("first", *SCOPES))

    # When every view is looked at, and whatever is live begins
    with statements_with_values() as sent:
        seen = [path for path in paths(door, own) if looked_at(browser, path)]

    fill_lists(door.other("large"))

    # Then no statement has to read a table from end to end that grows
    assert len(seen) > 40
    assert len(sent) > 60
    with session.engine().connect() as connection:
        # It would read small tables as a whole, whatever indexes there are.
        for way in ("seqscan", "mergejoin", "hashjoin"):
            connection.execute(text(f"SET enable_{way} = off"))
        found = [read_whole(connection, *one) for one in sent.items()]
    assert [one for one in found if one is not None] == []


def everything(furnished: Furnished) -> dict[str, str]:
    """Values for the names in addresses."""
    browser = Browser(furnished.door)
    sheet = {"file": (io.BytesIO(b"review\nGood\n"), "reviews.csv")}
    browser.see(f"{PREFIX}/new")
    dropped = browser.post(f"{PREFIX}/new", sheet, content_type=FORM)
    return {
        "job_id": furnished.jobs["ended"],
        "job": furnished.jobs["cancelled"],
        "key_id": furnished.keys[-1],
        "webhook_id": furnished.webhook,
        "delivery_id": furnished.delivery,
        "uid": dropped.headers["Location"].rpartition("/")[2],
        "group": "simulated",
        "name": OPERATION,
        "index": "0",
        "format": "csv",
        "rest": "nowhere",
        "cursor": furnished.jobs["ended"][:13],
    }


def paths(door: Door, own: dict[str, str]) -> Iterator[str]:
    for rule in sorted(door.app.url_map.iter_rules(), key=str):
        is_view = rule.rule == PREFIX or rule.rule.startswith(f"{PREFIX}/")
        if not is_view or "GET" not in (rule.methods or ()):
            continue
        if auth.scope_of(door.app.view_functions[rule.endpoint]) == auth.PUBLIC:
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: own[found[1]], rule.rule)
        for asked in ("", *ASKED.get(rule.rule, ())):
            yield path + asked.format(**own)


def looked_at(browser: Browser, path: str) -> bool:
    """Of what is live, the first event is enough."""
    answer = browser.client.get(path, buffered=False)
    assert answer.status_code in (200, 303, 404), (path, answer.text)
    if answer.mimetype == "text/event-stream":
        next(iter(answer.iter_encoded()), None)
    answer.close()
    return answer.status_code == 200


def read_whole(connection: Any, statement: str, values: Any) -> str | None:
    """The statement, if PostgreSQL reads all of a table for it, though it would rather not."""
    if not statement.startswith(("SELECT", "WITH")):
        return None
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar_one()[0]["Plan"]
    whole = {node["Relation Name"] for node in nodes(plan) if is_whole(node)}
    return f"{whole}: {statement}\n{json.dumps(plan)}" if whole else None


def is_whole(node: dict[str, Any]) -> bool:
    """A table of few rows may be read in the order of an index; those of lists have many."""
    if "Relation Name" not in node or node["Node Type"] == "Bitmap Heap Scan" or "Index Cond" in node:
        return False
    return node["Node Type"] == "Seq Scan" or node["Relation Name"] in OF_LISTS
