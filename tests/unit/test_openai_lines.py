"""The lines of OpenAI's batches: what is wrong with one, and the draft of one that is right."""

import io
import json

import pytest

from app.dialects.openai.lines import LISTED, Reader, of_file, of_list
from app.ingest.whole.requests import MESSAGES

CHAT = "/v1/chat/completions"
MODELS = {"one", "two"}


def reader(endpoint=CHAT, max_records=1_000):
    return Reader(
        endpoint,
        lambda model, url: None if model in MODELS else f"{model} cannot be asked",
        max_tokens=10,
        max_records=max_records,
    )


def line(custom_id="a", url=CHAT, model="one", **body):
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": model, **body}}


def read(*items, **options):
    made = reader(**options)
    drafts = list(made.drafts(of_list(items, made._endpoint)))
    return drafts, [(error.line, error.code, error.param) for error in made.errors], made


def test_a_line_is_sent_as_it_stands_to_its_url():
    drafts, errors, made = read(line(messages=[], max_completion_tokens=7, odd=[1.5, "ü"]))

    assert errors == []
    assert json.loads(drafts[0].body) == {
        "url": CHAT,
        "body": {"model": "one", "messages": [], "max_completion_tokens": 7, "odd": [1.5, "ü"]},
    }
    assert (drafts[0].custom_id, drafts[0].max_tokens, drafts[0].model) == ("a", 7, "one")
    assert made.defaults.model == "one"


def test_a_line_for_messages_becomes_a_messages_request_in_any_batch():
    body = {"messages": [{"role": "user", "content": "Why?"}], "max_tokens": 9}

    drafts, errors, _ = read(line(url=MESSAGES, **body))

    assert errors == []
    assert json.loads(drafts[0].body) == {"params": {"model": "one", **body}}


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        ([1], "invalid_json_line", None),
        (None, "invalid_json_line", None),
        ("text", "invalid_json_line", None),
        (line(custom_id=None), "missing_required_parameter", "custom_id"),
        (line(custom_id=7), "invalid_custom_id", "custom_id"),
        (line(custom_id=""), "invalid_custom_id", "custom_id"),
        (line(custom_id="x" * 257), "invalid_custom_id", "custom_id"),
        (line(custom_id="\ud800"), "invalid_custom_id", "custom_id"),
        ({**line(), "method": "GET"}, "invalid_method", "method"),
        (line(url="/v1/embeddings"), "mismatched_url", "url"),
        (line(url=["a"]), "mismatched_url", "url"),
        ({**line(), "body": "text"}, "invalid_body", "body"),
        ({**line(), "body": None}, "invalid_body", "body"),
        (line(stream=True), "unsupported_parameter", "body.stream"),
        (line(background=True), "unsupported_parameter", "body.background"),
        (line(model=None), "missing_required_parameter", "body.model"),
        (line(model="a b"), "invalid_model", "body.model"),
        (line(url=MESSAGES), "missing_required_parameter", "body.messages"),
        (line(url=MESSAGES, messages="Why?"), "missing_required_parameter", "body.messages"),
        (line(deep=json.loads("[" * 120 + "]" * 120)), "invalid_body", "body"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_by_its_number(item, code, param):
    drafts, errors, _ = read(line("first"), item)

    assert [draft.custom_id for draft in drafts] == ["first"]
    assert errors == [(2, code, param)]


def test_what_was_found_is_told_in_the_words_of_json():
    _, _, made = read([1], None, line(custom_id=7), {**line(), "body": [1]}, {**line(), "body": None})

    found = [error.message.rpartition("found ")[2] for error in made.errors]
    assert found == ["a list", "null", "a number", "a list", "nothing"]


def test_a_custom_id_is_used_once():
    _, errors, made = read(line("a"), line("b"), line("a"))

    assert errors == [(3, "duplicate_custom_id", "custom_id")]
    assert "line 1" in made.errors[0].message


def test_the_first_model_that_can_be_asked_is_the_batchs_and_others_ride_with_their_own():
    drafts, errors, made = read(line("a", model="typo"), line("b", model="two"), line("c", model="one"))

    assert errors == []
    assert made.defaults.model == "two"
    assert [draft.priced_by for draft in drafts] == [{"model": "typo"}, None, {"model": "one"}]


def test_a_batch_none_of_whose_models_can_be_asked_says_so_for_each():
    _, errors, made = read(line("a", model="x"), line("b", model="x"), line("c", model="y"))

    assert errors == [(1, "model_not_found", "body.model"), (3, "model_not_found", "body.model")]
    assert made.defaults is None


def test_the_first_hundred_errors_are_kept():
    _, errors, _ = read(*[[1]] * 250)

    assert len(errors) == LISTED == 100


def test_too_many_lines_and_none_are_errors_of_the_file():
    assert read(line("a"), line("b"), max_records=1)[1] == [(2, "request_limit_exceeded", None)]
    assert read()[1] == [(None, "empty_file", None)]


def test_a_file_is_read_without_its_mark_blank_lines_and_line_ends_of_windows():
    content = b"\xef\xbb\xbf" + json.dumps(line("a")).encode() + b"\r\n\r\n" + b"[1]\r\n{\r\n"

    found = list(of_file(io.BytesIO(content)))

    assert [number for number, _ in found] == [1, 3, 4]
    assert (found[0][1]["custom_id"], found[1][1]) == ("a", [1])
    assert found[2][1].code == "invalid_json_line"
