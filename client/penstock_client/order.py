"""What is asked of which rows: the form that is sent, and the fingerprint by which its job is found again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

from penstock_client import frames
from penstock_client.documents import Folder
from penstock_client.errors import PenstockError
from penstock_client.given import File, Given
from penstock_client.lines import Lines

FINGERPRINT = "client_fingerprint"  # in the metadata of a job
# They change what a job may cost, what it is called and when it runs, but no answer.
BESIDE = frozenset(
    {
        *("max_cost", "dedupe", "reuse", "try_first", "prompt_cache"),
        *("name", "metadata", "priority", "expires_in", "timeout", "retries", "webhook_url"),
    }
)


class Asked(TypedDict, total=False):
    """The fields of a job; those that are None, or left out, have the server's own default."""

    fields: Mapping[str, str] | Sequence[str] | None  # {"score": "1..5"}, or ["score: 1..5"]
    schema: Mapping[str, Any] | None  # a JSON Schema that every answer must match
    model: str | None
    system: str | None
    max_tokens: int | None
    params: Mapping[str, Any] | None  # anything else for each request, such as {"temperature": 0}
    max_cost: Decimal | float | str | None  # USD, never exceeded
    escalate_to: str | None  # a model that is asked where the first one's answer does not fit
    dedupe: bool | None  # ask equal requests once
    reuse: int | str | None  # days within which an equal request's answer is taken over; or a job's id
    try_first: int | None  # rows that are asked first; then the job is paused
    prompt_cache: bool | None
    name: str | None
    metadata: Mapping[str, Any] | None
    priority: int | None
    expires_in: int | None  # seconds
    timeout: int | None  # seconds that one call may take
    retries: int | None
    webhook_url: str | None
    sheet: str | None  # this and what follows: of a file, as for the command line
    header_row: int | None
    visible_only: bool | None
    encoding: str | None
    separator: str | None


class Order:
    """One job as its owner wants it."""

    def __init__(self, rows: Any, prompt: str | None, asked: Asked) -> None:
        self.given: Given = _taken(rows, with_prompt=prompt is not None)
        if "asks" in asked:  # its records would not be rows
            raise PenstockError("asks: call `run` once for each prompt")
        given: dict[str, Any] = {self.given.asked_by: prompt, **asked}
        self.asked = {name: value for name, value in given.items() if value is not None}
        if "fields" in self.asked:
            self.asked["fields"] = _listed(self.asked["fields"])
        self.fingerprint = self._fingerprint()

    @property
    def properties(self) -> list[str]:
        """The names at the top of an answer, in order."""
        if "fields" in self.asked:
            names = (field.partition(":")[0].strip() for field in self.asked["fields"])
            return [name.removesuffix("?").rstrip() for name in names]
        return list(self.asked.get("schema", {}).get("properties", ()))

    @property
    def tries(self) -> bool:
        """Whether the job is to be paused after its first rows."""
        return bool(self.asked.get("try_first"))

    def form(self) -> dict[str, str]:
        """The fields of the upload, besides the file."""
        metadata = {**self.asked.get("metadata", {}), FINGERPRINT: self.fingerprint}
        named = {"name": self.given.name, **self.asked, "metadata": metadata}
        return {name: _text(value) for name, value in named.items() if value is not None}

    def key(self, earlier: str | None) -> str:
        """The submission's `Idempotency-Key`: two equal calls at once make one job.

        `earlier` is an equal job that is not taken up.
        """
        beside = {name: value for name, value in sorted(self.form().items()) if name in BESIDE}
        digest = hashlib.sha256(_text(beside).encode()).hexdigest()[:16]
        return f"client-{self.fingerprint}-{digest}-{earlier or 'first'}"

    def _fingerprint(self) -> str:
        """Equal for equal rows, prompt, model and whatever else an answer may depend on."""
        asked = {name: value for name, value in sorted(self.asked.items()) if name not in BESIDE}
        return hashlib.sha256(f"{self.given.digest} {_text(asked)}".encode()).hexdigest()


def _taken(rows: Any, *, with_prompt: bool) -> Given:
    """What was given as rows; a text or a path is that of a file, or of a folder of documents."""
    if isinstance(rows, (str, os.PathLike)):
        path = Path(rows)
        return Folder(path) if path.is_dir() else File(path)
    if isinstance(rows, Mapping) or (not isinstance(rows, Iterable) and not frames.library_of(rows)):
        raise TypeError(
            "rows: give a list of dicts or texts, a frame of pandas or polars, or the path of a file or a"
            f" folder; found {type(rows).__name__}"
        )
    return Lines(rows, with_prompt=with_prompt)


def _listed(fields: Mapping[str, str] | Sequence[str]) -> list[str]:
    if isinstance(fields, str):
        raise PenstockError(f"fields: give a list of `name: kind`, or a dict; found the text {fields!r}")
    if isinstance(fields, Mapping):
        return [f"{name}: {kind}" for name, kind in fields.items()]
    return list(fields)


def _text(value: Any) -> str:
    """A value as a form has it; the names of a schema stay in their order."""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value)
