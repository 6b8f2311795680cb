"""The files that a batch has by itself: its requests, its answers and its errors, read from its records."""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

from app.core.reading import file_batches, records
from app.core.reading.jobs import JobView
from app.core.reading.records import Page, RecordView
from app.dialects.openai import wire
from app.dialects.openai.wire import ERRORS, INPUT
from app.ingest.whole.requests import MESSAGES
from app.providers import registry
from models.file import FileBatch


class Output:
    """One of the files of a batch."""

    def __init__(self, view: JobView, terms: FileBatch | None, kind: str) -> None:
        self.view, self.kind = view, kind
        self._terms = terms

    @property
    def name(self) -> str:
        return f"batch_{self.view.uid.hex}_{self.kind}.jsonl"

    def lines(self) -> Iterator[bytes]:
        """Its content now. A file grows at its end while its batch runs."""
        if self.kind == INPUT:
            for record in self._walk(records.by_index):
                yield wire.request_line(self.view, record)
            return
        for record in self._walk(records.by_completion):
            if wire.belongs(record, self.kind):
                yield self._line(record)
        if self.kind == ERRORS:
            yield from map(self._line, self._walk(records.never_asked))

    def out(self) -> dict[str, Any]:
        """The file's object; its size is counted line by line."""
        size = sum(map(len, self.lines()))
        expires_at = file_batches.outputs_expire_at(self.view, self._terms)
        return wire.file_of_batch(self.view, self.kind, size, self.name, expires_at)

    def _walk(self, read: Callable[..., Page]) -> Iterator[RecordView]:
        for page in records.walk(partial(read, inputs=self.kind == INPUT), self.view):
            yield from page.records

    def _line(self, record: RecordView) -> bytes:
        endpoint = wire.CHAT if self._terms is None else self._terms.endpoint
        answer = None if record.answer is None else self._shown(record.answer)
        return wire.line(self.view.uid, endpoint, record, answer)

    def _shown(self, answer: bytes) -> bytes:
        """An answer in the shape that its reader expects.

        That of a line as it came, as it was asked in that shape; only a Messages request may have been
        translated for its endpoint. That of a job of another contract as a chat completion.
        """
        if self._terms is None:
            return wire.as_chat_completion(answer)
        if self._terms.endpoint == MESSAGES and self._is_translated:
            return wire.as_message(answer)
        return answer

    @cached_property
    def _is_translated(self) -> bool:
        """Whether the batch's model is asked with requests of the other shape."""
        provider = registry.find(self.view.model)
        return provider is not None and provider.client == "openai"
