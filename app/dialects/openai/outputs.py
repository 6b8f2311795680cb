"""The files that a batch has by itself: its requests, its answers and its errors, read from its records."""

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

from app.core.reading import file_batches, records
from app.core.reading.jobs import JobView
from app.core.reading.records import ENDED_WORDS, Read, RecordView
from app.dialects.openai import wire
from app.dialects.openai.wire import ERRORS, INPUT, OUTPUT
from app.ingest.whole.requests import MESSAGES
from app.providers import registry
from models.file import FileBatch

WHOLE = b'{"url":'  # how the input begins of a request for a path, which is no Messages request

# What records of each file are shown as.
_WORDS = {OUTPUT: frozenset({"succeeded"}), ERRORS: ENDED_WORDS - {"succeeded"}}


class Output:
    """One of the files of a batch."""

    def __init__(self, view: JobView, terms: FileBatch | None, kind: str) -> None:
        self.view, self.kind = view, kind
        self._terms = terms

    @property
    def name(self) -> str:
        return f"batch_{self.view.uid.hex}_{self.kind}.jsonl"

    def pieces(self) -> Iterator[bytes]:
        """Its lines now, a page of records at a time.

        While its batch runs they are in the order of their ends, so that the file grows at its end; then in
        that of the input.
        """
        write = self._request if self.kind == INPUT else self._line
        for read in self._reads():
            for page in records.walk(read, self.view):
                yield b"".join(write(record) for record in page.records if self._has(record))

    def _reads(self) -> Iterator[Read]:
        if self.kind == INPUT:
            yield partial(records.by_index, inputs=True)
        elif self.view.status.final:
            yield partial(records.by_index, words=_WORDS[self.kind], inputs=self._has_two_shapes)
        else:
            yield partial(records.by_completion, inputs=self._has_two_shapes)
            if self.kind == ERRORS:
                yield records.never_asked

    def _has(self, record: RecordView) -> bool:
        return self.kind == INPUT or record.status.word in _WORDS[self.kind]

    def out(self) -> dict[str, Any]:
        """The file's object; its size is counted line by line."""
        size = sum(map(len, self.pieces()))
        expires_at = file_batches.outputs_expire_at(self.view, self._terms)
        return wire.file_of_batch(self.view, self.kind, size, self.name, expires_at)

    def _request(self, record: RecordView) -> bytes:
        return wire.request_line(self.view, record)

    def _line(self, record: RecordView) -> bytes:
        endpoint = wire.CHAT if self._terms is None else self._terms.endpoint
        answer = None if record.answer is None else self._shown(record, record.answer)
        return wire.line(self.view.uid, endpoint, record, answer)

    def _shown(self, record: RecordView, answer: bytes) -> bytes:
        """An answer in the shape that its reader expects.

        That of a line as it came, as it was asked in that shape, unless its request was translated for its
        provider: then so is its answer. That of a job of another contract as a chat completion.
        """
        if self._terms is None:
            return wire.as_chat_completion(answer)
        if self._terms.endpoint == MESSAGES and self._speaks_otherwise("openai"):
            return wire.as_message(answer)
        if self._has_two_shapes and (record.asked or b"").startswith(WHOLE):
            return wire.as_chat_completion(answer)
        return answer

    @cached_property
    def _has_two_shapes(self) -> bool:
        """Whether Claude is asked for chat completions, too: in which shape, a record's input tells."""
        return (
            self._terms is not None
            and self._terms.endpoint == wire.CHAT
            and self._speaks_otherwise("anthropic")
        )

    def _speaks_otherwise(self, client: str) -> bool:
        """Whether the batch's provider is asked by this client, in the other shape than the endpoint's."""
        provider = registry.find(self.view.model)
        return provider is not None and provider.client == client
