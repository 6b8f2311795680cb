"""JSON in pieces: chosen texts leave it, the rest is what it was."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ingest.json_pieces import Path, Scanner


class Sink:
    def __init__(self, taken: list[str]) -> None:
        self._taken, self._pieces = taken, []

    def write(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def close(self) -> str:
        self._taken.append(b"".join(self._pieces).decode("utf-8", "surrogatepass"))
        return f"<{len(self._taken) - 1}>"


def separate(text: bytes, wanted: Any, size: int) -> tuple[Any, dict[Path, str]]:
    """The JSON without the texts at `wanted`, and those by their paths."""
    taken: list[str] = []
    paths: list[Path] = []

    def open_sink(path: Path) -> Sink | None:
        if not wanted(path):
            return None
        paths.append(path)
        return Sink(taken)

    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    left = b"".join(Scanner(open_sink).rest_of(pieces))
    return json.loads(left), dict(zip(paths, taken, strict=True))


def is_content(path: Path) -> bool:
    return len(path) == 3 and path[0] == "documents" and path[2] == "content"


BODY = {
    "tenant_id": "t",
    "documents": [
        {"filename": "a.txt", "content": "QUJD", "metadata": {"content": "stays", "x": [1, "content"]}},
        {"content": "", "filename": 'q"uo\\te'},
        {"filename": "c", "content": 7},
    ],
    "content": "stays, too",
}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 1_000])
@pytest.mark.parametrize("ascii", [True, False])
def test_the_texts_at_a_place_leave_and_a_mark_stands_for_each(size, ascii):
    text = json.dumps(BODY, ensure_ascii=ascii).encode()

    left, taken = separate(text, is_content, size)

    assert taken == {("documents", 0, "content"): "QUJD", ("documents", 1, "content"): ""}
    assert left["documents"][0].pop("content") == "<0>"
    assert left["documents"][1].pop("content") == "<1>"
    assert left["documents"][0]["metadata"] == BODY["documents"][0]["metadata"]
    assert left["documents"][1] == {"filename": 'q"uo\\te'}
    assert left["content"] == "stays, too"


TEXTS = st.text(st.characters(max_codepoint=0xD7FF), max_size=12)  # of one escape each
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.integers(1, 9), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_every_text_of_any_json_is_found_at_its_path(value, size, ascii, indent):
    # Given any JSON, written in any way, in pieces of any size
    text = json.dumps(value, ensure_ascii=ascii, indent=indent).encode("utf-8", "surrogatepass")

    # When all texts inside of it are taken
    left, taken = separate(text, bool, size)

    # Then each is where it was
    assert taken == dict(_texts(value, ()))
    assert json.dumps(_without_texts(left)) == json.dumps(_without_texts(value))


def _texts(value: Any, path: Path) -> Any:
    if isinstance(value, str) and path and path[-1] != "":
        yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    if isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _texts(inner, (*path, place))


def _without_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_texts(inner) for inner in value]
    return "text" if isinstance(value, str) else value


@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_name_is_known_however_it_is_written(size):
    text = rb'{"docu\u006dents":[{"content" : "Q\/\u002b\u0042"}]}'

    _, taken = separate(text, is_content, size)

    assert taken == {("documents", 0, "content"): "Q/+B"}


@pytest.mark.parametrize(
    "text", [b'{"documents":[{"content":"a\nb"}]}', rb'{"documents":[{"content":"a\qb"}]}']
)
def test_a_text_that_no_json_may_hold_is_refused_though_it_leaves(text):
    with pytest.raises(ValueError, match=r"\w"):
        separate(text, is_content, 100)


@pytest.mark.parametrize("text", [b'{"documents":[{"content":"QUJD', b'{"a":]}', b"[1,2", b"", b'"\\'])
def test_json_that_is_broken_stays_broken(text):
    with pytest.raises(ValueError, match=r"\w"):
        separate(text, is_content, 100)


def test_nesting_has_an_end():
    with pytest.raises(ValueError, match="deep"):
        separate(b"[" * 100_000, is_content, 1_000)
