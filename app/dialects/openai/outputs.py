"""The files that a batch has by itself: its requests, its answers and its errors, read from its records."""

from collections.abc import Iterator, Sequence
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

_MESSAGES = b'{"params":'  # how a record begins that was asked with Messages
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
        write = self._requests if self.kind == INPUT else self._lines
        for read in self._reads():
            for page in records.walk(read, self.view):
                yield write([record for record in page.records if self._has(record)])

    def _reads(self) -> Iterator[Read]:
        if self.kind == INPUT:
            yield partial(records.by_index, inputs=True)
        elif self.view.status.final:
            yield partial(records.by_index, words=_WORDS[self.kind], inputs=self._is_mixed)
        else:
            yield partial(records.by_completion, inputs=self._is_mixed)
            if self.kind == ERRORS:
                yield partial(records.never_asked, inputs=self._is_mixed)

    def _has(self, record: RecordView) -> bool:
        return self.kind == INPUT or record.status.word in _WORDS[self.kind]

    def out(self) -> dict[str, Any]:
        """The file's object; its size is counted line by line."""
        size = sum(map(len, self.pieces()))
        expires_at = file_batches.outputs_expire_at(self.view, self._terms)
        return wire.file_of_batch(self.view, self.kind, size, self.name, expires_at)

    def _requests(self, these: Sequence[RecordView]) -> bytes:
        return b"".join(wire.request_line(self.view, record) for record in these)

    def _lines(self, these: Sequence[RecordView]) -> bytes:
        named = records.request_ids(self.view, these)
        return b"".join(self._line(record, named.get(record.idx)) for record in these)

    def _line(self, record: RecordView, request_id: str | None) -> bytes:
        url = self._url(record)
        answer = None if record.answer is None else self._shown(url, record.answer)
        return wire.line(self.view.uid, url, record, answer, request_id)

    def _url(self, record: RecordView) -> str:
        """Where the record was asked."""
        if self._terms is None:
            return wire.CHAT
        if self._is_mixed and (record.asked or b"").startswith(_MESSAGES):
            return MESSAGES
        return self._terms.endpoint

    def _shown(self, url: str, answer: bytes) -> bytes:
        """An answer in the shape that its reader expects.

        That of a line as it came, unless its request was translated for its provider. That of a job of
        another contract as a chat completion.
        """
        if self._terms is not None and url != self._translated_at:
            return answer
        return wire.as_message(answer) if url == MESSAGES else wire.as_chat_completion(answer)

    @property
    def _is_mixed(self) -> bool:
        return self._terms is not None and self._terms.mixed

    @cached_property
    def _translated_at(self) -> str | None:
        """The url whose requests the batch's provider is asked in translation."""
        provider = registry.find(self.view.model)
        if provider is None or provider.client == "simulated":
            return None
        return wire.CHAT if provider.client == "anthropic" else MESSAGES
