"""The calls that do what the page is about to do, for a shell and in Python."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from flask import request

from app.core.documents.job_drafts import DOCUMENTS, JobDraft
from app.core.reading.job_json import PREFIX
from app.dashboard.job.calls import OPENED, VARIABLE, ApiCall
from app.dashboard.new_job import form
from app.errors import BadInput
from app.web.submissions import bodies

CHATS = "/api/batch/create"
FIELDS = "fields"  # of an answer
FLAGS = ("dedupe", "visible_only")
OF_CLIENT = {"template": "prompt"}  # what the Python client calls otherwise
OF_CHATS = {"provider": "aiProvider", "search": "searchProvider", "lang": "lang", "name": "batchName"}


def of(draft: JobDraft) -> ApiCall | None:
    """The call that submits the draft; None for what no single call of a contract does."""
    typed, name = draft.fields, draft.name
    if draft.format == DOCUMENTS or form.ask(typed) == form.OPERATION:
        return None
    if form.ask(typed) == form.CHAT:
        asked = {theirs: typed[ours] for ours, theirs in OF_CHATS.items() if ours in typed}
        asked |= {"applyOverrides": "true"} if "own_texts" in typed else {}
        return ApiCall(_curl(CHATS, name, asked), _python_of_chats(name, asked))
    try:
        asked = form.of_prompt(typed)
    except BadInput:
        return None
    fields = {**form.of_job(typed, name), **form.of_table(typed), **asked}
    return ApiCall(_curl(f"{PREFIX}/jobs", name, fields), _python(name, fields))


def _curl(path: str, file: str, fields: Mapping[str, str]) -> str:
    parts = [f'curl -H "X-API-Key: ${VARIABLE}"', f"-F file=@{shlex.quote(file)}"]
    # As a text: curl reads a value that begins with @ or < from a file.
    parts += [f"--form-string {shlex.quote(f'{name}={text}')}" for name, text in fields.items()]
    return " \\\n  ".join([*parts, shlex.quote(f"{_root()}{path}")])


def _python(file: str, fields: Mapping[str, str]) -> str:
    """With the package in `client/`, whose key is in the same variable."""
    given = [f"{OF_CLIENT.get(name, name)}={_value(name, text)!r}" for name, text in fields.items()]
    lines = [
        *OPENED,
        f"with Penstock({_root()!r}) as client:",
        "    run = client.run(",
        *(f"        {argument}," for argument in [repr(file), *given]),
        "    )",
        "    for answer in run:",
        "        print(answer.index, answer.status, answer.error or answer.text)",
    ]
    return "\n".join(lines)


def _value(name: str, text: str) -> Any:
    """What a field of the form is in Python."""
    if name in bodies.OBJECTS or name == FIELDS:
        return json.loads(text)
    if name in FLAGS:
        return text == "true"
    return int(text) if name in bodies.NUMBERS and text.isdecimal() else text


def _python_of_chats(file: str, fields: Mapping[str, str]) -> str:
    lines = [
        "import os",
        "",
        "import requests",
        "",
        f"with open({file!r}, 'rb') as file:",
        "    response = requests.post(",
        f"        {_root() + CHATS!r},",
        f'        headers={{"X-API-Key": os.environ["{VARIABLE}"]}},',
        "        files={'file': file},",
        f"        data={dict(fields)!r},",
        "    )",
        "response.raise_for_status()",
        "print(response.json())",
    ]
    return "\n".join(lines)


def _root() -> str:
    return request.host_url.rstrip("/")
