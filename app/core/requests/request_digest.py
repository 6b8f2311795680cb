"""What makes two requests equal: a digest of all that decides the answer to a record.

Of a row it is the prompt that it becomes, so that cells which no template uses do not matter. What only
changes how a job runs (its priority, retries, caps) is not in it.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from app.ingest import documents, operations
from app.ingest.draft import REFUSED, Defaults, Draft
from app.ingest.templates import Template, compile_template
from app.ingest.values import to_json
from app.providers import registry

SIZE = 16  # bytes: among a million requests two have the same one by chance once in 10^26 jobs
WHOLE_ROW, OPERATION = b'{"row":', b'{"operation":'


class Digests:
    """The digests of a job's requests."""

    def __init__(self, defaults: Defaults) -> None:
        self._template: Template | None = None
        if defaults.template is not None:
            self._template = compile_template(defaults.template)
        self._operations = defaults.operations
        self._stores_only = defaults.model == registry.NOBODY
        shared: dict[str, Any] = {
            "model": defaults.model,
            "max_tokens": defaults.max_tokens,
            "system": defaults.system,
            "prompt": defaults.prompt,
            "schema": defaults.schema,
            "params": dict(defaults.params),
            "headers": dict(defaults.headers),
            "escalate_to": defaults.escalate_to,
            "operations": (operations.to_bytes(defaults.operations) or b"").decode(
                "utf-8", "surrogateescape"
            ),
        }
        # The order of properties decides that of the answer's, so keys are not sorted.
        self._shared = hashlib.blake2b(to_json(shared), digest_size=SIZE)

    def of(self, draft: Draft) -> bytes | None:
        """None for what is not asked, or is asked whatever was answered to an equal one."""
        if self._stores_only or draft.conversation is not None or draft.body.startswith(REFUSED):
            return None
        digest = self._shared.copy()
        digest.update(b"%d " % (draft.max_tokens or 0))
        digest.update(self._question(draft.body))
        return digest.digest()

    def _question(self, body: bytes) -> bytes:
        if body.startswith(documents.BEGINNING):
            document = documents.read(body)
            assert document is not None
            return f"document {document.media_type} {document.sha256} {document.fault}".encode()
        if body.startswith(WHOLE_ROW):
            return to_json({"prompt": self._prompt(json.loads(body)["row"])})
        if body.startswith(OPERATION):
            return self._of_operation(json.loads(body))
        return body

    def _of_operation(self, record: Mapping[str, Any]) -> bytes:
        operation, row = self._operations[record["operation"]], record["row"]
        asked = {"prompt": operation.prompt_for(row), "system": operation.system_for(row)}
        return to_json({"operation": record["operation"], **asked})

    def _prompt(self, row: Mapping[str, Any]) -> str:
        return str(row["prompt"]) if self._template is None else self._template.render(row)
