"""What a quote needs to know about the drafts of one input, in a few bytes of memory per record at most."""

import json
from dataclasses import dataclass
from typing import Any

from app.ingest.draft import ENVELOPE_BYTES, Defaults, Draft
from app.ingest.intake import Places
from app.ingest.templates import Template
from app.ingest.values import to_json

FINENESS = 5  # bits of a size that determine its class: sizes in a class differ by at most a sixteenth


@dataclass(slots=True)
class SizeClass:
    """Requests of about the same size."""

    count: int = 0
    content_bytes: int = 0


class Tally:
    """Counts drafts, their sizes, the longest answers that they allow, and duplicates."""

    def __init__(self, defaults: Defaults, template: Template | None) -> None:
        self.count = 0
        self.content_bytes = 0
        self.max_output_tokens = 0
        self.duplicates = 0  # the same request as an earlier draft; never turns of conversations
        self.later_turns = 0  # of conversations: they are sent with the turns before
        self.of_other_models = 0
        self.sizes: dict[tuple[int, int], SizeClass] = {}
        self._defaults = defaults
        self._columns = [] if template is None else sorted(template.variables)
        self._asked, self._talks = Places(), Places()

    def add(self, draft: Draft) -> None:
        self._measure(content_bytes(draft.request_bytes))
        self.max_output_tokens += draft.max_tokens or self._defaults.max_tokens
        self.of_other_models += draft.model not in (None, self._defaults.model)
        if draft.conversation is not None:
            self.later_turns += self._talks.claim(draft.conversation, self.count) is not None
        else:
            self.duplicates += self._asked.claim(self._question(draft), self.count) is not None
        self.count += 1

    def _measure(self, size: int) -> None:
        shift = max(0, size.bit_length() - FINENESS)
        kind = self.sizes.setdefault((shift, size >> shift), SizeClass())
        kind.count += 1
        kind.content_bytes += size
        self.content_bytes += size

    def _question(self, draft: Draft) -> tuple[bytes, int | None]:
        """The request; of a row only the columns that the template uses."""
        if not draft.body.startswith(b'{"row":'):
            return draft.body, draft.max_tokens
        cells: dict[str, Any] = json.loads(draft.body)["row"]
        return to_json([cells.get(column) for column in self._columns]), draft.max_tokens


def content_bytes(request_bytes: int) -> int:
    """Of a request, without its envelope, which is not counted in tokens."""
    return max(1, request_bytes - ENVELOPE_BYTES)
