"""A request says what is kept of it, and asks what it asked before."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from app.core.requests import build
from app.core.requests.job_context import JobContext
from app.core.requests.prompt_cache.layout import Keep
from app.core.requests.shared_part import head_of
from app.ingest.beginnings.common import CommonBeginning, SharedInput
from app.ingest.values import to_json

LONG = "A rule that holds for every review. " * 600  # some 5,000 tokens
TOOLS = [{"name": "look", "input_schema": {"type": "object"}}, {"name": "find", "input_schema": {}}]
LARGE = {"name": "all", "description": LONG, "input_schema": {}}
FIVE_MINUTES = Keep("5m")
CONTROL = {"type": "ephemeral"}
ASKED = [{"role": "user", "content": "x"}]
MARKED = [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": CONTROL}]}]
PLAIN = JobContext(
    job_id=1,
    tenant_id=1,
    uid=None,
    tenant_uid=None,
    total=10,
    model="claude-haiku-4-5",
    provider="anthropic",
    group="anthropic:haiku-4.5",
    seats=None,
    mean_request_bytes=1,
    priority=5,
    retries=0,
    max_request_bytes=1,
    max_tokens=100,
    deadline=60,
    system=None,
    template_source=None,
    prompt=None,
    schema=None,
    escalate_to=None,
    dedupe=False,
    params={},
    operations={},
    headers={},
    unbounded=None,
    facts={},
    attended=None,
    prompt_cache=True,
    shared_input=None,
    lane=1,
)
SHAPES = {
    "system": {"system": LONG, "template_source": "{{ review }}"},
    "tools": {
        "params": {"tools": [*TOOLS, {"name": "all", "description": LONG}]},
        "template_source": "{{ review }}",
    },
    "head": {"template_source": LONG + "{{ review }}"},
    "all": {"system": LONG, "params": {"tools": TOOLS}, "template_source": LONG + "\r\n{{- review }}"},
}


def built(job, record, keep=FIVE_MINUTES, history=()):
    return build.build(job, to_json(record), None, history, None, keep)


def texts(request):
    """What the model reads, message by message."""
    messages = [*({"content": request.get("system") or ""},), *request["messages"]]
    return [
        content if isinstance(content, str) else "".join(block["text"] for block in content)
        for content in (message["content"] for message in messages)
    ]


def breakpoints(value):
    if isinstance(value, dict):
        return ("cache_control" in value) + sum(map(breakpoints, value.values()))
    return sum(map(breakpoints, value)) if isinstance(value, list) else 0


def beginning(request):
    """All up to the last breakpoint, in the provider's order."""
    blocks = [*request.get("tools", ()), *(request.get("system") or ()), *request["messages"][0]["content"]]
    marked = [place for place, block in enumerate(blocks) if isinstance(block, dict) and breakpoints(block)]
    return json.dumps(blocks[: marked[-1] + 1])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_model_reads_the_same_text_behind_the_same_beginning(shape):
    job = replace(PLAIN, **SHAPES[shape])
    records = [{"row": {"review": text}} for text in ("Good", " bad\n", "“größer”", "{{ x }}")]

    requests = [built(job, record) for record in records]

    assert [texts(request) for request in requests] == [texts(built(job, record, None)) for record in records]
    assert len({beginning(request) for request in requests}) == 1
    assert {1 <= breakpoints(request) <= 2 for request in requests} == {True}


def test_an_hour_is_asked_for_by_its_name():
    job = replace(PLAIN, system=LONG)

    assert built(job, {"prompt": "Hi"}, Keep("1h"))["system"][0]["cache_control"] == {
        "type": "ephemeral",
        "ttl": "1h",
    }


@pytest.mark.parametrize(
    ("job", "record"),
    [
        ({"system": LONG[:10_000]}, {"prompt": "too little"}),
        ({"system": LONG, "model": "gpt-4o-mini", "provider": "openai"}, {"prompt": "of another provider"}),
        ({"system": LONG, "prompt_cache": False}, {"prompt": "not wanted"}),
        (
            {"system": LONG, "operations": {"x": SimpleNamespace(schema=None)}},
            {"prompt": "of operations"},
        ),
        ({"system": LONG, "params": {"cache_control": CONTROL}}, {"prompt": "its own"}),
        ({"system": LONG}, {"params": {"system": "Mine", "messages": ASKED}}),
        (
            {"system": LONG},
            {"params": {"model": "claude-opus-5", "messages": ASKED}},
        ),
        (
            {"system": LONG},
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
                    }
                ]
            },
        ),
    ],
)
def test_what_is_not_to_be_kept_is_sent_as_it_is(job, record):
    context = replace(PLAIN, **job)

    assert built(context, record, Keep("5m", turn=True)) == built(context, record, None)


def test_a_long_conversation_never_has_more_than_four_breakpoints():
    job = replace(PLAIN, system=LONG, template_source=LONG + "{{ review }}")
    answer = to_json({"content": [{"type": "text", "text": "Yes"}], "stop_reason": "end_turn"})
    history = [(to_json({"row": {"review": f"Turn {turn}"}}), answer) for turn in range(9)]

    followed, last = (
        built(job, {"row": {"review": "On"}}, Keep("5m", turn=turn), history) for turn in (True, False)
    )

    assert (breakpoints(followed), breakpoints(last)) == (4, 3)
    assert texts(followed) == texts(built(job, {"row": {"review": "On"}}, None, history))
    kept = [place for place, message in enumerate(followed["messages"]) if breakpoints(message)]
    assert kept == [0, 16, 18]  # the head, the end of the turn before, the end of this one


@pytest.mark.parametrize(
    ("template", "head"),
    [
        (LONG + "{{ review }}", LONG),
        (LONG + "\r\n{%- if x %}a{% endif %}", LONG.rstrip()),
        (LONG + "{# for us #}{{ review }}", LONG),
        ("Short: {{ review }}", ""),
        ("{{ review }}" + LONG, ""),
        (LONG, ""),
        (" " * 2_000 + "{{ review }}", ""),
    ],
)
def test_the_head_is_what_precedes_the_first_tag(template, head):
    assert head_of(template) == head


def asked(content, **more):
    return {"messages": [{"role": "user", "content": content}], **more}


def of_document(question):
    document = {"type": "document", "source": {"type": "base64", "data": "JVBERi0" * 3_000}}
    return asked([document, {"type": "text", "text": question}])


def common(records, *, is_turn=False):
    beginning = CommonBeginning()
    for record in records:
        beginning.add(to_json(record), is_turn=is_turn)
    return beginning.found()


OWN = {
    "prompts": [{"prompt": f"{LONG}\n“Größe” {text}"} for text in ("small", "large", "\U0001f600")],
    "one text": [asked(f"{LONG}\nReview {number}") for number in range(3)],
    "a document": [of_document(question) for question in ("Who?", "When?", "Where?")],
    "examples": [
        {
            "messages": [
                {"role": "user", "content": LONG},
                {"role": "assistant", "content": "Good"},
                {"role": "user", "content": f"Review {number}"},
            ]
        }
        for number in range(3)
    ],
}


@pytest.mark.parametrize("shape", OWN)
def test_what_records_bring_alike_is_kept_up_to_where_they_differ(shape):
    records = OWN[shape]
    found = common(records)
    job = replace(PLAIN, shared_input=found)

    requests = [built(job, record) for record in records]

    plain = [built(job, record, None) for record in records]
    assert [whole_text(request) for request in requests] == [whole_text(request) for request in plain]
    assert {breakpoints(request) for request in requests} == {1}
    assert len({up_to_the_mark(request) for request in requests}) == 1
    assert len(up_to_the_mark(requests[0])) > 20_000


def whole_text(request):
    contents = [message["content"] for message in request["messages"]]
    return [
        content if isinstance(content, str) else "".join(block.get("text", "@") for block in content)
        for content in contents
    ]


def up_to_the_mark(request):
    """All up to the last breakpoint of messages, in blocks."""
    blocks = []
    for message in request["messages"]:
        content = message["content"]
        for block in [{"text": content}] if isinstance(content, str) else content:
            blocks.append(block)
            if "cache_control" in block:
                return json.dumps(blocks)
    return ""


@pytest.mark.parametrize(
    ("records", "is_turn"),
    [
        ([{"prompt": f"{number} {LONG}"} for number in range(3)], False),
        ([{"prompt": f"{LONG} {number}"} for number in range(3)], True),
        ([{"prompt": LONG}, {"prompt": LONG}, {"row": {"review": LONG}}], False),
        ([{"params": asked(f"{LONG} {number}")} for number in range(3)], False),
        ([{"prompt": f"Hi {number}"} for number in range(3)], False),
        ([{"prompt": f"{LONG} {number}"} for number in range(2)], False),
    ],
)
def test_records_that_differ_from_the_start_bring_nothing_alike(records, is_turn):
    assert common(records, is_turn=is_turn) is None


def test_what_sets_its_own_keeps_nobody_from_sharing():
    records = [{"prompt": f"{LONG} {number}"} for number in range(3)]
    records.insert(1, {"messages": MARKED})

    assert common(records) == SharedInput(len('{"prompt":"' + LONG), 0, None, len(LONG))
