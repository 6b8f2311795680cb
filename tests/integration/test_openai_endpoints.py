"""Records that endpoints in OpenAI's manner answer, through real workers: asked, shown and priced."""

import csv
import io
import json
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from app.core.limits import allowances
from app.core.money.pricing import PICO
from app.core.money.reconciliation import Check
from app.core.reading.records import snapshot
from app.doctor import provider
from app.doctor.finding import State
from models.session import in_transaction
from models.tenant import Tenant
from tests.conftest import penstock_of_its_own
from tests.support.front_door import JOBS, Door
from tests.support.openai_upstream import OpenAIUpstream
from tests.support.servers import wait_until
from tests.support.stack import Stack
from tests.support.threaded_server import serving

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
EMBEDDINGS, COMPLETIONS = "/v1/embeddings", "/v1/completions"
MINI = "gpt-4o-mini"  # $0.15 and $0.60 per million tokens
CLAUDE = "claude-haiku-4-5"
ASKED = {"model": MINI, "messages": [{"role": "user", "content": "Why?"}], "seed": 7}
ENDPOINTS = """
[[endpoint]]
name = "openai"
base_url = "{url}"
key = "OUR_KEY"
models = ["gpt-*", "text-embedding-*"]

[[endpoint]]
name = "vllm"
base_url = "{url}/v1"
models = ["local:*"]
prefix = "local:"
bills = false
class = "machine"
"""


@pytest.fixture(scope="module")
def upstream_process():
    with OpenAIUpstream() as provider:
        yield provider


@pytest.fixture(scope="module")
def endpoints(upstream_process, tmp_path_factory, request):
    """A Penstock with two endpoints, of which one does not bill."""
    folder = tmp_path_factory.mktemp("endpoints")
    (folder / "providers.toml").write_text(ENDPOINTS.format(url=upstream_process.url))
    more = {
        "PENSTOCK_PROVIDERS_FILE": str(folder / "providers.toml"),
        "OUR_KEY": "sk-proj-ours",
        "ANTHROPIC_API_KEY": "sk-ant-ours",
        "ANTHROPIC_BASE_URL": upstream_process.url,
        "DEFAULT_MODEL": MINI,
    }
    with penstock_of_its_own("sqlite", request, folder, **more) as values:
        made = Stack(values, folder).start()
        yield made
        made.stop()


@pytest.fixture
def upstream(upstream_process):
    upstream_process.reset()
    upstream_process.configure(keep_requests=True)
    return upstream_process


@pytest.fixture
def door(endpoints, upstream):
    with serving() as made:
        yield made.door


def run(door, records: Any, **fields: Any) -> dict[str, Any]:
    """A job that has ended."""
    asked = {"model": MINI, **fields}
    job = door.post_records(records, headers={"Prefer": "wait=60"}, **asked).get_json()
    assert job["status"] == "completed", job
    return job


def operator(door) -> Door:
    return door.other("operators", ("admin", "operator"))


def rows(door, job) -> dict[str, dict[str, Any]]:
    lines = door.get(job["links"]["results"]).data.splitlines()
    return {row["custom_id"]: row for row in map(json.loads, lines)}


def whole(custom_id: str, url: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def books_agree() -> bool:
    with snapshot() as session:
        return list(Check(session).differences()) == []


def test_a_prompt_is_asked_as_a_chat_completion_and_paid(door, upstream):
    # Given an endpoint that has cached half of each prompt
    upstream.configure(cache_share=0.5)

    # When a job asks one of its models in our own words
    job = run(door, [{"custom_id": "a", "prompt": "Why?"}], system="Be brief.", max_tokens=50)

    # Then it got a chat completion's request, with the key that the file names
    (seen,) = upstream.books()
    assert seen["request"] == {
        "model": MINI,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
        "max_tokens": 50,
    }
    assert seen["headers"]["authorization"] == "Bearer sk-proj-ours"

    # And the answer is as it came, counted and priced, what was cached at half the price
    row = rows(door, job)["a"]
    assert row["response"]["object"] == "chat.completion"
    usage = row["usage"]
    assert usage["input_tokens"] == seen["input_tokens"]
    assert usage["cache_read_tokens"] == seen["cache_read_tokens"] > 0
    dollars = (
        usage["input_tokens"] * 0.15 + usage["cache_read_tokens"] * 0.075 + usage["output_tokens"] * 0.60
    )
    assert float(row["cost"]) == pytest.approx(dollars / 1e6)
    assert books_agree()


def test_whole_requests_are_sent_as_they_stand_and_shown_by_their_text(door, upstream):
    # Given lines of OpenAI's batches for each path, one without anything that bounds its answer
    lines = [
        whole("chat", CHAT, **ASKED),
        whole("response", RESPONSES, model=MINI, input="Why?", max_output_tokens=9, store=False),
        whole("vector", EMBEDDINGS, model="text-embedding-3-small", input=["a", "b"]),
        whole("completion", COMPLETIONS, model="gpt-3.5-turbo", prompt="Why?", max_tokens=9),
    ]

    # When a job asks them
    job = run(door, lines)

    # Then each body arrived as it was written
    arrived = [seen["request"] for seen in upstream.books()]
    assert sorted(arrived, key=str) == sorted((line["body"] for line in lines), key=str)

    # And each answer is kept, with its text in the table
    kinds = {name: row["response"]["object"] for name, row in rows(door, job).items()}
    assert kinds == {
        "chat": "chat.completion",
        "response": "response",
        "vector": "list",
        "completion": "text_completion",
    }
    table = csv.DictReader(io.StringIO(door.get(job["links"]["results"] + "?format=csv").text))
    texts = {row["custom_id"]: row["answer"] for row in table}
    assert texts.pop("vector") == "[[0.6,0.8],[0.6,0.8]]"
    assert all("to: Why?" in text for text in texts.values())
    assert rows(door, job)["vector"]["usage"]["output_tokens"] == 0
    assert books_agree()


def test_a_chat_completion_may_be_asked_of_claude(door, upstream):
    # Given a line of OpenAI's batches that names a model of Claude, and lets the job say how long it may be
    line = whole("a", CHAT, **ASKED | {"model": CLAUDE, "stop": "END"})

    # When a job asks it
    job = run(door, [line], model=CLAUDE, max_tokens=50)

    # Then it is asked as Messages
    (seen,) = upstream.books()
    asked = {"model": CLAUDE, "max_tokens": 50, "stop_sequences": ["END"]}
    blocks = [{"type": "text", "text": "Why?"}]
    assert seen["request"] == {**asked, "messages": [{"role": "user", "content": blocks}]}
    assert rows(door, job)["a"]["response"]["type"] == "message"
    assert books_agree()


def test_what_does_not_bill_costs_nothing_and_loses_its_prefix(door, upstream):
    # Given a model of one's own server that has the name of one that is sold
    job = run(door, [{"custom_id": "a", "prompt": "Why?"}], model="local:gpt-4o")

    # Then it is asked there by its own name, without a key, and costs nothing
    (seen,) = upstream.books()
    assert seen["request"]["model"] == "gpt-4o"
    assert "authorization" not in seen["headers"]
    assert rows(door, job)["a"]["cost"] == "0.00"
    changed = operator(door).call("PUT", "/api/v1/limits/vllm:machine", json={"requests_per_minute": 600})
    assert changed.status_code == 200


def test_a_model_that_fits_a_pattern_can_be_looked_up_though_no_list_has_it(door):
    found = door.get("/v1/models/local:llama/3.2")
    missing = door.get("/v1/models/elsewhere:llama")

    assert found.get_json()["owned_by"] == "vllm"
    assert (missing.status_code, missing.get_json()["error"]["code"]) == (404, "model_not_found")
    assert missing.get_json()["error"]["param"] == "model"


def test_an_answer_is_checked_against_its_schema_and_part_of_the_next_question(door, upstream):
    # Given a conversation whose answers must fit a schema
    schema = {
        "type": "object",
        "properties": {"stars": {"type": "integer"}},
        "required": ["stars"],
        "additionalProperties": False,
    }
    turns = [
        {"custom_id": name, "prompt": f"And {name}?", "conversation": "talk"} for name in ("first", "second")
    ]

    # When it is asked
    run(door, turns, schema=schema)

    # Then the endpoint was given the schema, and the second question with the first answer
    first, second = (seen["request"] for seen in upstream.books())
    assert first["response_format"]["json_schema"] == {"name": "answer", "schema": schema, "strict": True}
    roles = [(message["role"], message["content"]) for message in second["messages"]]
    assert roles[0] == ("user", "And first?")
    assert set(json.loads(roles[1][1])) == {"stars"}
    assert roles[2] == ("user", "And second?")


def test_limits_are_learned_from_the_headers(door, upstream):
    # Given an endpoint that says what it allows
    upstream.configure(requests_per_minute=3_000, input_tokens_per_minute=200_000)

    # When it has answered
    run(door, [{"prompt": "Why?"}], model="gpt-4.1-nano")

    # Then its group has that limit
    groups = {group["group"]: group for group in operator(door).get("/api/v1/limits").get_json()["data"]}
    limits = groups["openai:gpt-4.1-nano"]["allowed"]
    assert limits["requests_per_minute"] == {"figure": 3_000, "source": "learned"}
    assert limits["input_tokens_per_minute"] == {"figure": 200_000, "source": "learned"}


def test_an_account_without_quota_is_held_and_said(door, upstream):
    # Given an account that has to be paid first
    fault = {"kind": "status", "status": 429, "code": "insufficient_quota", "type": "insufficient_quota"}
    upstream.configure(faults=[fault | {"message": "You exceeded your current quota"}])

    # When a job asks
    job = door.post_records([{"prompt": "Why?"}], model="gpt-4.1-mini").get_json()

    # Then its group is held, which says what to do; no record has failed
    url = f"{JOBS}/{job['id']}"
    wait_until(lambda: "OUR_KEY" in door.get(url).text, what="the job says what to do")
    assert door.get(url).get_json()["counts"]["failed"] == 0
    assert len(upstream.books()) == 1
    door.post(f"{url}/cancel")


def test_the_examination_tries_each_endpoint_and_names_its_variable(door, upstream):
    # Given endpoints that answer
    found = {finding.text: finding.state for finding in provider.look(call=True)}
    answers = f"{upstream.url}/v1 accepts the key, and lists 2 models"
    assert found.pop(answers) is State.OK
    assert set(found.values()) == {State.OK}

    # When they want another key
    upstream.configure(keys=["another"])
    refused = [finding for finding in provider.look(call=True) if finding.state is State.WRONG]

    # Then each is named with what to mend, and no key is told
    remedies = " ".join(finding.remedy for finding in refused)
    assert "OUR_KEY" in remedies
    assert "PENSTOCK_PROVIDERS_FILE" in remedies
    assert "sk-proj-ours" not in str(refused)


def test_a_new_key_has_the_groups_of_its_own_endpoint_probed_and_no_other(door):
    # Given two endpoints whose names begin alike, held for their accounts
    names = ("openai:held", "openai-eu:held")
    for name in names:
        in_transaction(partial(allowances.hold, group=name, reason="account: x", seconds=60, probe_every=60))

    # When the key of one is renewed
    probed = in_transaction(partial(allowances.probe_soon, provider="openai"))

    # Then the other stays held
    assert "openai:held" in probed
    assert "openai-eu:held" not in probed


def test_a_quote_counts_whole_requests(door):
    line = whole("a", CHAT, **ASKED, max_completion_tokens=100)
    quote = door.post("/api/v1/jobs/estimate", json={"model": MINI, "records": [line]})
    assert quote.status_code == 200, quote.text
    assert quote.get_json()["cost"]["high"] > "0.00"


def test_a_cap_wants_to_know_how_long_an_answer_may_be(door):
    refused = door.post_records([whole("a", CHAT, **ASKED)], model=MINI, max_cost="1")
    assert refused.status_code == 422
    assert "max_completion_tokens" in refused.text
    bounded = whole("a", CHAT, **ASKED, max_completion_tokens=100)
    dearer = {**bounded, "body": {**bounded["body"], "service_tier": "priority"}}
    assert "'priority'" in door.post_records([dearer], model=MINI, max_cost="1").text
    assert run(door, [bounded], max_cost="1")["counts"]["succeeded"] == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (whole("a", "/v1/nothing", **ASKED), '"url" must be one of'),
        (whole("a", CHAT, **ASKED, stream=True), '"stream" is not supported'),
        (whole("a", CHAT, model=MINI, messages=[]), "messages"),
        (whole("a", CHAT, messages=[]), '"model" must be'),
        ({"custom_id": "a", "url": CHAT, "body": "x"}, '"body" must be an object'),
        ({"custom_id": "a", "url": CHAT, "body": ASKED, "method": "GET"}, '"method" must be "POST"'),
        ({"custom_id": "a", "url": CHAT, "body": ASKED, "prompt": "x"}, "exactly one of"),
    ],
)
def test_a_line_that_no_endpoint_takes_is_refused_before_anything_is_asked(door, upstream, line, why):
    refused = door.post_records([line], model=MINI)
    assert refused.status_code == 422
    assert why in refused.text.replace('\\"', '"')
    assert upstream.books() == []


def test_a_bound_that_no_provider_takes_fails_its_request_alone(door, upstream):
    odd = [[], "x", None, {}, -5, 10**9, 1.5]
    bodies = [{"model": MINI, "max_tokens": bound, "messages": ASKED["messages"]} for bound in [*odd, 9]]
    requests = [{"custom_id": str(number), "body": body} for number, body in enumerate(bodies)]
    asked = {"endpoint": "/v1/messages", "completion_window": "24h", "requests": requests}
    made = door.post("/v1/batches", json=asked).get_json()

    def batch():
        return door.get(f"/v1/batches/{made['id']}").get_json()

    wait_until(lambda: batch()["status"] == "completed")
    counts = batch()["request_counts"]
    assert (counts["completed"], counts["failed"]) == (1, len(odd))
    assert len(upstream.books()) == 1
    failed = door.get(f"/v1/files/{batch()['error_file_id']}/content").text
    assert failed.count("max_tokens: give a whole number") == len(odd)


@pytest.mark.parametrize("more", [{"n": 100}, {"service_tier": "priority"}, {"max_tokens": None}])
def test_a_single_call_cannot_cost_more_than_a_cap_allows_for_it(door, upstream, more):
    name = f"capped-{next(iter(more))}"
    capped = door.other(name, ("jobs:read", "jobs:write"))
    capping = update(Tenant).where(Tenant.name == name).values(daily_cap=PICO)
    in_transaction(lambda session: session.execute(capping))
    body = {**ASKED, "max_tokens": 9, **more}

    refused = capped.post(CHAT, json=body)

    assert refused.status_code == 400
    assert "no upper bound" in refused.text
    assert upstream.books() == []
    assert capped.post(CHAT, json={**ASKED, "max_tokens": 9}).status_code == 200
