"""Streamed answers: events cut out of bytes, put together, and made from a whole answer."""

import json

import pytest

from app.providers import shapes
from app.providers.streams import completions, messages, responses, sse
from app.providers.streams.blocks import Blocks

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "The sky is blue because air scatters blue light the most."},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": ["the", "sky"]}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 40},
}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "It scatters blue light more than any other.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 40, "total_tokens": 49},
}
RESPONSE = {
    "id": "resp_1",
    "status": "completed",
    "output": [
        {
            "id": "m1",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "Air scatters blue light the most.", "annotations": []}
            ],
        }
    ],
    "usage": {"input_tokens": 9, "output_tokens": 40, "total_tokens": 49},
}


def assembled(form, raw, size):
    """What the events make that are cut out of pieces of `size` bytes."""
    cutter, assembly = sse.Cutter(), form.Assembly()
    for start in range(0, len(raw), size):
        for event in cutter.feed(raw[start : start + size]):
            assembly.add(event.json())
    return assembly


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("form", "answer"), [(messages, MESSAGE), (completions, COMPLETION), (responses, RESPONSE)]
)
def test_the_events_of_an_answer_make_it_again_wherever_they_are_cut(form, answer, size):
    raw = b"".join(form.events(answer))

    made = assembled(form, raw, size)

    assert made.is_whole
    assert made.whole == answer


@pytest.mark.parametrize(
    ("form", "answer"), [(messages, MESSAGE), (completions, COMPLETION), (responses, RESPONSE)]
)
def test_an_answer_whose_last_event_is_missing_is_not_whole(form, answer):
    events = list(form.events(answer))
    last = {messages: -1, responses: -1, completions: -3}[form]

    assert not assembled(form, b"".join(events[:last]), 50).is_whole


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_is_handed_on_as_it_came(end):
    raw = b": a comment" + end + b"event: ping" + end + b'data: {"a":' + end + b"data:1}" + end + end
    cutter = sse.Cutter()

    events = [event for byte in raw for event in cutter.feed(bytes([byte]))]

    assert [(event.raw, event.name, event.json()) for event in events] == [(raw, "ping", {"a": 1})]


def test_half_an_event_is_kept_back():
    assert list(sse.Cutter().feed(b'event: message_stop\ndata: {"type": "message_stop"}\n')) == []


def test_counts_that_are_told_late_or_not_at_all_leave_the_earlier_ones():
    late = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": None}}
    assembly = messages.Assembly()
    for event in ({"type": "message_start", "message": MESSAGE}, late, {"type": "message_stop"}):
        assembly.add(event)

    assert assembly.whole["usage"] == MESSAGE["usage"]


def test_the_usage_of_a_completion_is_shown_to_whom_asked_for_it():
    last = {"choices": [], "usage": {}}

    assert not completions.shows({})(last)
    assert completions.shows({"stream_options": {"include_usage": True}})(last)
    assert completions.shows({})({"choices": [{}]})


def test_chunks_of_a_completion_make_the_message_that_it_is():
    blocks, assembly = Blocks(), messages.Assembly()
    whole = shapes.message_of(json.dumps(COMPLETION).encode())

    raw = b"".join(blocks.feed(chunk) for chunk in completions.events(COMPLETION)) + blocks.end(whole)
    for event in sse.Cutter().feed(raw):
        assembly.add(event.json())

    assert assembly.is_whole
    assert assembly.whole == whole


def test_calls_of_tools_that_come_in_parts_are_blocks_of_their_own():
    blocks, assembly = Blocks(), messages.Assembly()
    parts = [
        {"content": "I look."},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"at":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"sky"}'}}]},
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "wait", "arguments": ""}}]},
    ]
    made = b"".join(blocks.feed(sse.write(None, {"choices": [{"delta": delta}]})) for delta in parts)
    made += blocks.end({"stop_reason": "tool_use", "usage": {"input_tokens": 3, "output_tokens": 4}})
    for event in sse.Cutter().feed(made):
        assembly.add(event.json())

    assert assembly.whole["content"] == [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "a", "name": "look", "input": {"at": "sky"}},
        {"type": "tool_use", "id": "b", "name": "wait", "input": {}},
    ]
    assert assembly.whole["usage"] == {"input_tokens": 3, "output_tokens": 4}


@pytest.mark.parametrize("place", [-1, 10**9, "0", None, 1.5])
def test_the_place_of_a_tools_call_is_one_that_an_answer_can_have(place):
    delta = {"tool_calls": [{"index": place, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}

    with pytest.raises(ValueError, match="place"):
        completions.Assembly().add({"choices": [{"index": 0, "delta": delta}]})


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
def test_events_are_cut_out_of_pieces_that_end_anywhere(step):
    raw = b"data: 1\n\nevent: a\r\ndata: 2\r\n\r\ndata: 3\r\r: said\n\ndata: 4"
    cutter = sse.Cutter()

    found = [event.data for at in range(0, len(raw), step) for event in cutter.feed(raw[at : at + step])]

    assert found == [b"1", b"2", b"3", b""]


def test_an_event_that_never_ends_is_looked_through_once(monkeypatch):
    looked = []

    class Counting:
        def finditer(self, text, start):
            looked.append(len(text) - start)
            return iter(())

    monkeypatch.setattr(sse, "_END", Counting())
    cutter = sse.Cutter()
    for _ in range(100):
        assert not list(cutter.feed(b"a" * 1_000))

    assert sum(looked) < 101_000


def test_a_long_answer_is_not_joined_anew_for_each_of_its_pieces():
    chat, message = completions.Assembly(), messages.Assembly()
    piece = "a" * 10_000
    message.add({"type": "message_start", "message": {"usage": {}}})
    message.add({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for _ in range(100):
        chat.add({"choices": [{"index": 0, "delta": {"content": piece}}]})
        message.add(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        )
    longest = max(map(len, chat._choices[0]["message"]["content"]))
    assert longest == max(map(len, message._blocks[0]["text"])) == len(piece)
    message.add({"type": "message_stop"})

    assert chat.whole["choices"][0]["message"]["content"] == piece * 100
    assert message.whole["content"] == [{"type": "text", "text": piece * 100}]
