"""The calls that do what the page is about to do, for a shell and in Python."""

import shlex
from collections.abc import Mapping

from flask import request

from app.core.documents.job_drafts import DOCUMENTS, JobDraft
from app.core.reading.job_json import PREFIX
from app.dashboard.job.calls import VARIABLE, ApiCall
from app.dashboard.new_job import form
from app.errors import BadInput

CHATS = "/api/batch/create"
OF_CHATS = {"provider": "aiProvider", "search": "searchProvider", "lang": "lang", "name": "batchName"}


def of(draft: JobDraft) -> ApiCall | None:
    """The call that submits the draft; None for what no single call of a contract does."""
    typed, name = draft.fields, draft.name
    if draft.format == DOCUMENTS or form.ask(typed) == form.OPERATION:
        return None
    if form.ask(typed) == form.CHAT:
        fields = {theirs: typed[ours] for ours, theirs in OF_CHATS.items() if ours in typed}
        return _call(CHATS, name, fields | ({"applyOverrides": "true"} if "own_texts" in typed else {}))
    try:
        asked = form.of_prompt(typed)
    except BadInput:
        return None
    return _call(f"{PREFIX}/jobs", name, {**form.of_job(typed, name), **form.of_table(typed), **asked})


def _call(path: str, file: str, fields: Mapping[str, str]) -> ApiCall:
    url = f"{request.host_url.rstrip('/')}{path}"
    parts = [f'curl -H "X-API-Key: ${VARIABLE}"', f"-F file=@{shlex.quote(file)}"]
    # As a text: curl reads a value that begins with @ or < from a file.
    parts += [f"--form-string {shlex.quote(f'{name}={text}')}" for name, text in fields.items()]
    lines = [
        "import os",
        "",
        "import requests",
        "",
        f"with open({file!r}, 'rb') as file:",
        "    response = requests.post(",
        f"        {url!r},",
        f'        headers={{"X-API-Key": os.environ["{VARIABLE}"]}},',
        "        files={'file': file},",
        f"        data={dict(fields)!r},",
        "    )",
        "response.raise_for_status()",
        "print(response.json())",
    ]
    return ApiCall(" \\\n  ".join([*parts, shlex.quote(url)]), "\n".join(lines))
