"""The call of the native contract that does what the page just did, for a shell and in Python."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import request

from app.core.reading.job_json import PREFIX
from app.core.reading.jobs import JobView
from app.web import cursors

VARIABLE = "PENSTOCK_API_KEY"  # of the environment: no page shows a key
OPENED = ("from penstock_client import Penstock", "")


@dataclass(frozen=True, slots=True)
class ApiCall:
    """The same call twice."""

    curl: str
    python: str


def of(
    view: JobView,
    path: str = "",
    *,
    method: str = "GET",
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    save_as: str | None = None,
) -> ApiCall:
    """A call about a job: `path` is behind its address; `save_as` names the file of a download."""
    root = request.host_url.rstrip("/")
    url = f"{root}{PREFIX}/jobs/{view.uid}{path}"
    asked = {name: value for name, value in (query or {}).items() if value is not None}
    python = _python(root, str(view.uid), f"{method} {path}", asked, body, save_as)
    return ApiCall(_curl(method, url, asked, body, save_as), python)


def _curl(
    method: str, url: str, query: Mapping[str, Any], body: Mapping[str, Any] | None, save_as: str | None
) -> str:
    whole = f"{url}?{urlencode(query)}" if query else url
    parts = ["curl"]
    if method not in ("GET", "POST") or (method == "POST" and body is None):
        parts.append(f"-X {method}")
    parts.append(f'-H "X-API-Key: ${VARIABLE}"')
    if body is not None:
        parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(body))}"]
    if save_as is not None:
        parts.append(f"-o {shlex.quote(save_as)}")
    return " \\\n  ".join([*parts, shlex.quote(whole)])


def _python(
    url: str,
    job: str,
    verb: str,
    query: Mapping[str, Any],
    body: Mapping[str, Any] | None,
    save_as: str | None,
) -> str:
    """With the package in `client/`, whose key is in the same variable."""
    if verb == "GET /records":
        lines = [f"for answer in client.answers({job!r}):", *_of_records(query)]
    elif verb == "GET /results":
        lines = [f"client.answers({job!r}).save({save_as!r})"]
    elif verb == "GET ":
        lines = [f"print(client.job({job!r}))"]
    else:
        name = {"DELETE ": "delete", "PATCH ": "change"}.get(verb, verb.rpartition("/")[2])
        given = ", ".join(f"{name}={value!r}" for name, value in (body or {}).items())
        lines = [f"client.answers({job!r}).{name}({given})"]
    return "\n".join([*OPENED, f"with Penstock({url!r}) as client:", *(f"    {line}" for line in lines)])


def _of_records(query: Mapping[str, Any]) -> list[str]:
    """The loop over answers: those with a status, or the one of a page of one record."""
    wanted = []
    if "status" in query:
        wanted.append(f"answer.status == {query['status']!r}")
    if query.get("limit") == 1:
        after = cursors.index_after(query.get("cursor"))
        wanted.append(f"answer.index == {0 if after is None else after + 1}")
    shown = "    print(answer.index, answer.status, answer.error or answer.text)"
    return [f"    if {' and '.join(wanted)}:", f"    {shown}"] if wanted else [shown]
