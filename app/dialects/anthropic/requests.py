"""The requests of a Message Batch as drafts.

What is wrong with the envelope (a name, a field too many) refuses the batch. What is wrong with `params` is
the matter of that request alone: it is stored with its error and fails with it, without a call.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.errors import BadInput, TooLarge
from app.ingest.bounds import MAX_TOKENS, bounds_answer
from app.ingest.draft import Defaults, Draft, Problems, refused
from app.ingest.intake import Places
from app.ingest.records import MODEL_NAME, read_record
from app.ingest.values import shown
from app.providers import registry
from app.providers.client_headers import PROFILE
from config.settings import Settings

CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MOST = 100_000  # requests of a batch
FIELDS = frozenset({"custom_id", "params"})


class Requests:
    """Reads requests one by one. `defaults` are those of the job, known once one names a usable model."""

    def __init__(self, chosen: Settings, headers: Mapping[str, str]) -> None:
        self._settings, self._headers = chosen, headers
        self._names = Places()
        self._most = min(MOST, chosen.max_records)
        self._problems = Problems()
        self._defaults: Defaults | None = None

    def drafts(self, items: Iterable[Any]) -> Iterator[Draft]:
        """A draft for each of `items`. Raises `BadInput` at the end with every error of the envelope."""
        count = 0
        for number, item in enumerate(items):
            count = number + 1
            if count > self._most:
                raise TooLarge(
                    f"requests: a batch takes up to {self._most:,} requests: send the others as another"
                )
            if (draft := self._draft(item, number)) is not None:
                yield draft
        if not count:
            self._problems.add("requests", "give at least one request")
        self._problems.refuse()

    @property
    def defaults(self) -> Defaults:
        """What the requests share. Raises `BadInput` if the provider of their model cannot be used here."""
        found = self._defaults or self._defaults_for(self._settings.default_model)
        if self._defaults is not None:
            registry.require(found.model, self._settings)
        return found

    def _defaults_for(self, model: str) -> Defaults:
        most, whole = self._settings.default_max_tokens, registry.of(model).takes_whole_requests
        return Defaults(model, most, whole=whole, headers=self._headers)

    def _draft(self, item: Any, number: int) -> Draft | None:
        at = f"requests.{number}"
        if not isinstance(item, dict):
            self._problems.add(at, f"give an object with `custom_id` and `params`; found {shown(item)}")
            return None
        for name in item.keys() - FIELDS:
            self._problems.add(f"{at}.{name:.60}", "there is no such field: give `custom_id` and `params`")
        name, params = item.get("custom_id"), item.get("params")
        if not isinstance(params, dict):
            self._problems.add(f"{at}.params", f"give an object; found {shown(params)}")
        if not isinstance(name, str) or not CUSTOM_ID.fullmatch(name):
            self._problems.add(
                f"{at}.custom_id", f"give 1 to 64 letters, digits, _ and -; found {shown(name)}"
            )
            return None
        if (first := self._names.claim(name, number)) is not None:
            self._problems.add(f"{at}.custom_id", f"{name!r} is already used by requests.{first}")
        return self._of_params(params, name) if isinstance(params, dict) and first is None else None

    def _of_params(self, params: dict[str, Any], name: str) -> Draft:
        fault = self._fault(params)
        if fault is not None:
            return refused("invalid_request", fault, custom_id=name)
        if self._defaults is None:
            self._defaults = self._defaults_for(params["model"])
        problems = Problems()
        draft = read_record({"custom_id": name, "params": params}, "", self._defaults, None, problems)
        if draft is None:
            return refused("invalid_request", problems.listed[0]["message"], custom_id=name)
        return draft

    def _fault(self, params: Mapping[str, Any]) -> str | None:
        """Why a request can never be asked; None for what its provider may judge."""
        max_tokens, profile = params.get("max_tokens"), params.get("user_profile_id")
        if not bounds_answer(max_tokens):
            return f"max_tokens: give a whole number from 1 to {MAX_TOKENS:,}; found {shown(max_tokens)}"
        if params.get("stream"):
            return "stream: it is not supported in a batch: leave it out"
        if params.get("speed") is not None:
            return "speed: it is not supported in a batch: leave it out"
        if profile is not None and self._headers.get(PROFILE, profile) != profile:
            return f"user_profile_id: it differs from the header {PROFILE}: give one of them"
        return self._fault_of_model(params.get("model"))

    def _fault_of_model(self, model: Any) -> str | None:
        if not isinstance(model, str) or not MODEL_NAME.fullmatch(model):
            return f"model: give the name of a model; found {shown(model)}"
        try:
            provider = registry.of(model)
            registry.refuse_misspelt(model, self._settings)
        except BadInput as error:
            return error.message
        if not provider.takes_messages or model == registry.NOBODY:
            return f"model: {model!r} takes no messages"
        if self._defaults is not None and provider != registry.of(self._defaults.model):
            return (
                f"model: {model!r} is answered by {provider.name!r}, the first of the batch,"
                f" {self._defaults.model!r}, by another provider: send a batch to each"
            )
        return None
