"""JSON responses, streamed when they are long."""

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Any

from flask import Response, jsonify

from app.core.json_text import as_list, with_list
from app.web import capacity

AT_ONCE = 1_000  # items of a list that is written in one piece; a longer list is streamed


def answer(content: Mapping[str, Any], status: int = 200, **headers: str) -> Response:
    """A JSON response; an underscore in a header's name stands for a dash."""
    response = jsonify(content)
    response.status_code = status
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def answer_with(
    content: Mapping[str, Any], name: str, items: Iterable[Any], count: int, status: int = 200
) -> Response:
    """`content` with a list `name` of at most `count` items as its last field; a long list is streamed."""
    if count <= AT_ONCE:
        return answer({**content, name: list(items)}, status)
    response = capacity.stream(with_list(content, name, items), "application/json", {})
    response.status_code = status
    return response


def answer_list(items: Iterable[Any]) -> Response:
    """A bare list; a long one is streamed."""
    rest = iter(items)
    first = list(islice(rest, AT_ONCE))
    if len(first) < AT_ONCE:
        return Response(b"".join(as_list(first)), mimetype="application/json")
    return capacity.stream(as_list(chain(first, rest)), "application/json", {})
