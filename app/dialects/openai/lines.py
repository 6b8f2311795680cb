"""The requests of a batch, line by line: what each may contain, and the draft that it becomes. Pure."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

from app.ingest.bounds import bounds_answer, priced_by, unbounded
from app.ingest.draft import ENVELOPE_BYTES, MAX_DEPTH, MAX_RECORD_BYTES, Defaults, Draft
from app.ingest.intake import Places
from app.ingest.jsonl import in_utf8, lines, parse
from app.ingest.records import MAX_ID_CHARACTERS, MODEL_NAME
from app.ingest.values import is_deeper, is_plain, kind_of, to_json
from app.ingest.whole import bounds
from app.ingest.whole.requests import ASKS_IN, CHAT, MESSAGES, REFUSED

ENDPOINTS = (*ASKS_IN, MESSAGES)
REMEMBERED = 1_000  # models of which it is remembered whether they can be asked
LISTED = 100  # errors that are kept; the others are only counted


class LineError(NamedTuple):
    """Why a line cannot be asked; `param` is the field at fault."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None  # from 1; None: the file as a whole

    def out(self) -> dict[str, Any]:
        return {"code": self.code, "line": self.line, "message": self.message, "param": self.param}


Item = tuple[int, Any]  # a line's number, and its value or its `LineError`


def of_file(stream: BinaryIO) -> Iterator[Item]:
    """The lines of a file that are not blank; raises `BadInput` for one in a broken encoding."""
    with in_utf8(stream) as text:
        for number, line in lines(text):
            try:
                yield number, parse(line)
            except ValueError as error:
                yield number, LineError("invalid_json_line", f"this line cannot be read: {error}")


def of_list(requests: Iterable[Any], endpoint: str) -> Iterator[Item]:
    """Requests that came with the call: each may leave out its method and its url."""
    for number, request in enumerate(requests, start=1):
        usual = {"method": "POST", "url": endpoint}
        yield number, {**usual, **request} if isinstance(request, dict) else request


class Reader:
    """Reads the requests of one batch into drafts, and keeps what is wrong with them.

    `why_not` says why a model cannot be asked here with a url, None where it can. The first that can is the
    batch's; a request for another one carries its model by itself, and fails by itself where the batch's
    provider does not have it.
    """

    def __init__(
        self,
        endpoint: str,
        why_not: Callable[[str, str], str | None],
        *,
        max_tokens: int,
        max_records: int,
    ) -> None:
        self.errors: list[LineError] = []
        self.defaults: Defaults | None = None  # of the batch, once a model is found that can be asked
        self.is_mixed = False  # some requests are asked at another url than the batch's
        self._endpoint, self._why_not = endpoint, lru_cache(REMEMBERED)(why_not)
        self._max_tokens, self._max_records = max_tokens, max_records
        self._ids, self._models = Places(), dict[str, tuple[int, str]]()
        self._count = 0

    def drafts(self, items: Iterable[Item]) -> Iterator[Draft]:
        """The drafts of valid requests; read to the end, `errors` has what is wrong with the others."""
        for number, item in items:
            self._count += 1
            if self._count > self._max_records:
                self._note(LineError("request_limit_exceeded", _too_many(self._max_records)), number)
                return
            error = item if isinstance(item, LineError) else self._check(item, number)
            if error is not None:
                self._note(error, number)
                continue
            drafted = self._draft(item, number)
            if isinstance(drafted, LineError):
                self._note(drafted, number)
            else:
                yield drafted
        self._close()

    def _close(self) -> None:
        """What only the whole can show."""
        if not self._count:
            self.errors.append(LineError("empty_file", "there is no request in it: give one on each line"))
        elif self.defaults is None and not self.errors:
            for number, why in self._models.values():
                self._note(LineError("model_not_found", why, "body.model"), number)

    def _note(self, error: LineError, number: int) -> None:
        if len(self.errors) < LISTED:
            self.errors.append(error._replace(line=number))

    def _check(self, item: Any, number: int) -> LineError | None:
        """What is wrong with a request's envelope."""
        if not isinstance(item, dict):
            found = "null" if item is None else kind_of(item)
            return LineError("invalid_json_line", f"a line must be a JSON object, found {found}")
        return (
            _check_id(item.get("custom_id"))
            or self._check_target(item)
            or _check_body(item.get("body"))
            or self._check_repeated(item["custom_id"], number)
        )

    def _check_target(self, item: dict[str, Any]) -> LineError | None:
        method, url = item.get("method"), item.get("url")
        if method != "POST":
            return LineError("invalid_method", f'"method" must be "POST", found {_shown(method)}', "method")
        if url not in (self._endpoint, MESSAGES):
            found = f'"url" is {_shown(url)}, but the endpoint of the batch is {self._endpoint!r}'
            return LineError("invalid_url" if url is None else "mismatched_url", found, "url")
        return None

    def _check_repeated(self, custom_id: str, number: int) -> LineError | None:
        first = self._ids.claim(custom_id, number)
        if first is None:
            return None
        return LineError(
            "duplicate_custom_id", f"custom_id {_shown(custom_id)} is that of line {first}, too", "custom_id"
        )

    def _draft(self, item: dict[str, Any], number: int) -> Draft | LineError:
        body, is_messages = item["body"], item["url"] == MESSAGES
        if is_messages and not (isinstance(body.get("messages"), list) and body["messages"]):
            return LineError("missing_required_parameter", '"messages" must be a list', "body.messages")
        try:
            written = to_json({"params": body} if is_messages else {"url": item["url"], "body": body})
        except ValueError as error:
            return LineError("invalid_body", f"the body cannot be written as JSON: {error}", "body")
        if len(written) > MAX_RECORD_BYTES:
            return LineError(
                "request_too_large", f"the request has over {MAX_RECORD_BYTES:,} bytes: split it"
            )
        if not is_messages and self._takes_only_messages(body["model"], item["url"]):
            why = f"the model {body['model']!r} is asked with {CHAT!r} or {MESSAGES!r}, not {item['url']!r}"
            return LineError("mismatched_url", why, "url")
        self.is_mixed = self.is_mixed or item["url"] != self._endpoint
        defaults = self._addressed(body["model"], item["url"], number)
        return Draft(
            written,
            len(written) + ENVELOPE_BYTES,
            item["custom_id"],
            max_tokens=_limit(body) if is_messages else bounds.most_tokens(item["url"], body),
            model=body["model"],
            unbounded=unbounded(body) if is_messages else bounds.unbounded(item["url"], body),
            priced_by=priced_by(body if is_messages else {"model": body["model"]}, defaults),
        )

    def _takes_only_messages(self, model: str, url: str) -> bool:
        return self._why_not(model, url) is not None and self._why_not(model, MESSAGES) is None

    def _addressed(self, model: str, url: str, number: int) -> Defaults:
        """The defaults that a request for `model` has; the first model that can be asked makes them."""
        if self.defaults is not None:
            return self.defaults
        why = self._why_not(model, url)
        if why is None:
            self.defaults = Defaults(model, self._max_tokens)
            return self.defaults
        if len(self._models) < LISTED:
            self._models.setdefault(model, (number, why))
        return Defaults("", self._max_tokens)


def _check_id(custom_id: Any) -> LineError | None:
    if custom_id is None:
        return LineError("missing_required_parameter", '"custom_id" is missing', "custom_id")
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= MAX_ID_CHARACTERS:
        wanted = f'"custom_id" must be a string of 1 to {MAX_ID_CHARACTERS} characters'
        return LineError("invalid_custom_id", f"{wanted}, found {_shown(custom_id)}", "custom_id")
    if not is_plain(custom_id):
        why = '"custom_id" must be plain text, without NUL and unpaired surrogates'
        return LineError("invalid_custom_id", why, "custom_id")
    return None


def _check_body(body: Any) -> LineError | None:
    if not isinstance(body, dict):
        return LineError("invalid_body", f'"body" must be an object, found {_shown(body)}', "body")
    for name, why in REFUSED.items():
        if body.get(name):
            told = f'"{name}" is not possible in a batch, as {why}: leave it out'
            return LineError("unsupported_parameter", told, f"body.{name}")
    model = body.get("model")
    if not isinstance(model, str) or not MODEL_NAME.fullmatch(model):
        found = f'"model" must be the name of a model, found {_shown(model)}'
        return LineError(
            "missing_required_parameter" if model is None else "invalid_model", found, "body.model"
        )
    if is_deeper(body, MAX_DEPTH):
        return LineError("invalid_body", f"the body is nested over {MAX_DEPTH} deep", "body")
    return None


def _limit(body: dict[str, Any]) -> int | None:
    """The longest answer that a Messages request allows, in tokens, where it says so."""
    found: Any = body.get("max_tokens")
    return found if bounds_answer(found) else None


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(value[:60].encode("utf-8", "backslashreplace").decode())
    return kind_of(value)


def _too_many(most: int) -> str:
    return f"a batch takes up to {most:,} requests (MAX_RECORDS): submit the others as another batch"
