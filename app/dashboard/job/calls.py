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

VARIABLE = "PENSTOCK_API_KEY"  # of the environment: no page shows a key


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
    url = f"{request.host_url.rstrip('/')}{PREFIX}/jobs/{view.uid}{path}"
    asked = {name: value for name, value in (query or {}).items() if value is not None}
    return ApiCall(_curl(method, url, asked, body, save_as), _python(method, url, asked, body, save_as))


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
    method: str, url: str, query: Mapping[str, Any], body: Mapping[str, Any] | None, save_as: str | None
) -> str:
    given = [repr(url), f'headers={{"X-API-Key": os.environ["{VARIABLE}"]}}']
    if query:
        given.append(f"params={dict(query)!r}")
    if body is not None:
        given.append(f"json={dict(body)!r}")
    lines = ["import os", "", "import requests", "", f"response = requests.{method.lower()}("]
    lines += [*(f"    {argument}," for argument in given), ")", "response.raise_for_status()"]
    if save_as is not None:
        lines += [f"with open({save_as!r}, 'wb') as file:", "    file.write(response.content)"]
    elif method != "DELETE":
        lines.append("print(response.json())")
    return "\n".join(lines)
