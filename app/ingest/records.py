"""One record of the native contract: what it may contain, and the draft that it becomes."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.errors import BadInput, BlankPrompt, Fault
from app.ingest.bounds import MAX_TOKENS, bounds_answer, priced_by, unbounded
from app.ingest.documents import Document, Documents, Stored, Unreadable
from app.ingest.documents import draft as draft_of
from app.ingest.draft import Defaults, Draft, Problems, as_json, sized
from app.ingest.intake import Intake
from app.ingest.templates import Template
from app.ingest.values import byte_size, is_blank, is_deeper, is_plain, kind_of, quoted
from app.ingest.whole import requests

MAX_CELL_BYTES = 1_000_000
MAX_ID_CHARACTERS = 256
MODEL_NAME = re.compile(r"[\w.:/@-]{1,200}")

MAX_RANK = 8  # lists in lists of an input

SAYS = ("prompt", "messages", "params", "document")
ASKS = (*SAYS, "input", "url")
BESIDE = ("custom_id", "conversation", "max_tokens")
TAKEN = {ask: frozenset({ask, *BESIDE}) for ask in (*ASKS, "row")}
TAKEN["input"] = frozenset({"input", "custom_id"})
TAKEN["document"] -= {"conversation"}  # otherwise later turns would send it again and again
TAKEN["url"] = frozenset({"url", "body", "method", "custom_id"})  # a line of OpenAI's batches
OF_A_DOCUMENT = ("content", "filename", "metadata")
MAX_FILENAME_CHARACTERS = 255
MAX_DOCUMENT_METADATA_BYTES = 16_000


def read_records(
    items: Iterable[Any],
    defaults: Defaults,
    template: Template | None,
    problems: Problems,
    documents: Documents | None = None,
    *,
    max_records: int,
    label: str = "records[{}]",
) -> Iterator[Draft]:
    """The `records` of a JSON request; invalid ones are left out and listed in `problems`.

    `label` turns a record's number into its position.
    """
    intake = Intake(label, max_records, problems)
    for number, item in enumerate(items):
        draft = read_record(item, intake.place(number), defaults, template, problems, documents)
        if intake.admits(draft, number):
            yield draft
    intake.close("`records` is empty: give at least one record")


def read_record(
    item: Any,
    where: str,
    defaults: Defaults,
    template: Template | None,
    problems: Problems,
    documents: Documents | None = None,
) -> Draft | None:
    """The draft of one record; None if it is invalid, with the error in `problems`.

    A record has one of `prompt`, `messages`, `params` and `document`, or `input` if the model takes it.
    `documents` stores the content of documents; without it none are accepted. In a job with a template, a
    record with none of them (or one that the template uses) is a row: `{"row": {…}}` or simply an object of
    cells.
    """
    try:
        if template is None or _asks(item, template):
            return _read_ask(item, defaults, documents)
        return _read_row(item, defaults, template)
    except Fault as fault:
        problems.add(fault.place(where), str(fault))
        return None


def read_row(
    cells: Mapping[str, Any], where: str, defaults: Defaults, template: Template, problems: Problems
) -> Draft | None:
    """The draft of a row of cells; cells named `custom_id` and `conversation` are used as such.

    Raises `BlankPrompt` for a row that has nothing to ask.
    """
    try:
        return _draft_of_cells(cells, defaults, template)
    except BlankPrompt:
        raise
    except Fault as fault:
        problems.add(fault.place(where), str(fault))
        return None


def _asks(item: Any, template: Template) -> bool:
    """Whether it is a request by itself and not a row for the template."""
    return not isinstance(item, dict) or any(ask in item and ask not in template.variables for ask in SAYS)


def _read_ask(item: Any, defaults: Defaults, documents: Documents | None) -> Draft:
    ask = _the_ask(item, defaults)
    if not item.keys() <= TAKEN[ask]:
        raise _unknown(item, ask)
    if not _takes(ask, item, defaults):
        raise _of_another_kind(ask, defaults)
    if ask == "document":
        return _read_document(item, defaults, documents)
    if ask == "url":
        return _read_whole(item, defaults)
    max_tokens = _max_tokens(item)
    if ask == "params":
        max_tokens = _check_params(item[ask], max_tokens)
    elif ask == "messages":
        _check_messages(item[ask])
    elif ask == "input":
        _check_input(item[ask])
    else:
        _check_prompt(item[ask])
    body = _body(ask, item[ask])
    size = sized(len(body), defaults)
    request = item[ask] if ask == "params" else {ask: item[ask]}
    model = request.get("model")
    return Draft(
        body,
        size,
        _name(item, "custom_id"),
        _name(item, "conversation"),
        max_tokens,
        model if isinstance(model, str) else None,
        unbounded(request),
        priced_by(request, defaults),
    )


def _takes(ask: str, item: Mapping[str, Any], defaults: Defaults) -> bool:
    """Whether the job's model takes what a record asks."""
    if ask == "input":
        return defaults.inputs
    if ask == "url" and item["url"] not in (requests.MESSAGES, requests.CHAT):
        return defaults.whole
    return defaults.messages


def _read_whole(item: Mapping[str, Any], defaults: Defaults) -> Draft:
    """A line of OpenAI's batches; one for Messages is a record with `params`."""
    if item.get("method", "POST") != "POST":
        raise Fault(f'"method" must be "POST", found {kind_of(item["method"])}')
    if item["url"] != requests.MESSAGES:
        return requests.draft(item["url"], item.get("body"), defaults, custom_id=_name(item, "custom_id"))
    named = {"custom_id": item["custom_id"]} if "custom_id" in item else {}
    return _read_ask({**named, "params": item.get("body")}, defaults, None)


def _read_document(item: dict[str, Any], defaults: Defaults, documents: Documents | None) -> Draft:
    if documents is None:
        raise Fault('"document": a document\'s number of tokens cannot be known in advance: it has no quote')
    document = _document(item["document"], documents)
    if document.fault is not None:
        raise Fault(f'"document": {document.fault}')
    try:
        return draft_of(document, defaults, custom_id=_name(item, "custom_id"), max_tokens=_max_tokens(item))
    except ValueError as error:
        raise Fault(f'"document": {error}') from None


def _document(value: Any, documents: Documents) -> Document:
    """A document is the base64 of its content, or an object with that, its name and its metadata."""
    parts = value if isinstance(value, dict) else {"content": value}
    if unknown := [key for key in parts if key not in OF_A_DOCUMENT]:
        raise Fault(f'"document": unknown: {_listed(unknown)}; it may have {_listed(OF_A_DOCUMENT)}')
    filename, metadata = parts.get("filename"), parts.get("metadata") or {}
    if filename is not None:
        _check_filename(filename)
    if not isinstance(metadata, dict) or len(as_json(metadata)) > MAX_DOCUMENT_METADATA_BYTES:
        raise Fault(
            f'"document": "metadata" must be an object of up to {MAX_DOCUMENT_METADATA_BYTES:,} bytes,'
            f" found {kind_of(metadata)}"
        )
    content = parts.get("content")
    if isinstance(content, str):
        content = documents.decoded(content)
    if not isinstance(content, Stored | Unreadable):
        raise Fault(f'"document": "content" must be a base64 string, found {kind_of(content)}')
    return Document.of(content, filename, metadata)


def _check_filename(value: Any) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_FILENAME_CHARACTERS or not is_plain(value):
        raise Fault(
            f'"document": "filename" must be plain text of 1 to {MAX_FILENAME_CHARACTERS} characters, found'
            f" {kind_of(value)}"
        )


def _read_row(item: dict[str, Any], defaults: Defaults, template: Template) -> Draft:
    cells = item.get("row")
    if not isinstance(cells, dict):
        _refuse_empty(item, template)
        return _draft_of_cells(item, defaults, template)
    _refuse_empty(cells, template)
    if not item.keys() <= TAKEN["row"]:
        raise _unknown(item, "row")
    return _draft_of_row(
        cells,
        defaults,
        template,
        custom_id=_name(item, "custom_id"),
        conversation=_name(item, "conversation"),
        max_tokens=_max_tokens(item),
    )


def _refuse_empty(cells: Mapping[str, Any], template: Template) -> None:
    """Raise `Fault` for a row that has the columns that the template uses, but nothing in them."""
    used = [name for name in template.variables if name in cells]
    if used and any(map(template.needs, used)) and all(is_blank(cells[name]) for name in used):
        names = ", ".join(map(quoted, sorted(used)))
        raise BlankPrompt(f"the row has nothing in {names}, so there is nothing to ask: leave it out")


def _draft_of_cells(cells: Mapping[str, Any], defaults: Defaults, template: Template) -> Draft:
    return _draft_of_row(
        cells,
        defaults,
        template,
        custom_id=name_in_cells(cells, "custom_id"),
        conversation=name_in_cells(cells, "conversation"),
    )


def _draft_of_row(
    cells: Mapping[str, Any],
    defaults: Defaults,
    template: Template,
    *,
    custom_id: str | None,
    conversation: str | None,
    max_tokens: int | None = None,
) -> Draft:
    check_cells(cells)
    try:
        prompt = template.render(cells)
    except BadInput as error:
        raise Fault(error.message) from None
    if is_blank(prompt):
        raise BlankPrompt("the prompt of this row is blank: there is nothing to ask")
    body = _body("row", cells)
    sized(len(body), defaults)
    return Draft(body, sized(byte_size(prompt), defaults), custom_id, conversation, max_tokens)


def _the_ask(item: Any, defaults: Defaults) -> str:
    if not isinstance(item, dict):
        raise Fault(f"a record must be a JSON object, found {kind_of(item)}")
    for ask in ASKS:
        if ask in item:
            return ask
    if "row" in item:
        raise Fault('a "row" needs a template: give the job one')
    wanted = f"one of {_listed(SAYS)}" if defaults.messages else '"input"'
    raise Fault(f"give {wanted}; found {_listed(item) or 'nothing'}")


def _unknown(item: dict[str, Any], ask: str) -> Fault:
    others = [key for key in item if key not in TAKEN[ask]]
    if any(other in ASKS for other in others):
        return Fault(f'give exactly one of {_listed(ASKS)}; found "{ask}" and {_listed(others)}')
    beside = [name for name in BESIDE if name in TAKEN[ask]]
    return Fault(f'unknown: {_listed(others)}; besides "{ask}" a record may have {_listed(beside)}')


def _of_another_kind(ask: str, defaults: Defaults) -> Fault:
    if ask == "url":
        return Fault(
            f'this "url" needs a model of an endpoint that speaks as OpenAI does (docs/providers.md): model'
            f' {defaults.model!r} takes "url": "{requests.MESSAGES}" or "{requests.CHAT}"'
        )
    if defaults.inputs:
        return Fault(f'model {defaults.model!r} takes an "input"; found "{ask}"')
    return Fault(
        f'an "input" needs a model `inference:NAME` of an inference server, or `simulated`; not'
        f" {defaults.model!r}"
    )


def _check_prompt(prompt: Any) -> None:
    if not isinstance(prompt, str) or not prompt:
        raise Fault(f'"prompt" must be a non-empty string, found {kind_of(prompt)}')
    if is_blank(prompt):
        raise BlankPrompt('"prompt" is blank: there is nothing to ask')


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise Fault(f'"messages" must be a non-empty list, found {kind_of(messages)}')
    for number, message in enumerate(messages):
        _check_message(message, f"messages[{number}]")
    if messages[0]["role"] != "user":
        raise Fault('messages[0]: the first "role" must be "user"')


def _check_message(message: Any, at: str) -> None:
    if not isinstance(message, dict):
        raise Fault(f"{at}: a message must be an object, found {kind_of(message)}")
    role, content = message.get("role"), message.get("content")
    if role == "system":
        raise Fault(f'{at}: "system" is not a role here: give the job a `system`, or the record `params`')
    if role not in ("user", "assistant"):
        raise Fault(f'{at}: "role" must be "user" or "assistant"')
    if not (isinstance(content, str | list) and content):
        raise Fault(f'{at}: "content" must be a non-empty string or list of blocks; found {kind_of(content)}')
    _refuse_blank(message, at)


def _refuse_blank(message: Any, at: str) -> None:
    """Raise `BlankPrompt` for a message with a text that shows nothing: no provider takes it."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str) and is_blank(content):
        raise BlankPrompt(f'{at}: "content" is blank: there is nothing to ask')
    for number, block in enumerate(content if isinstance(content, list) else ()):
        is_text = isinstance(block, dict) and block.get("type") == "text"
        if is_text and isinstance(block.get("text"), str) and is_blank(block["text"]):
            raise BlankPrompt(f'{at}: "content[{number}]" is a blank text: leave it out')


def _check_input(value: Any) -> None:
    """A row of a tensor: numbers, strings or booleans, not mixed, in rectangular, non-empty lists."""
    if is_deeper(value, MAX_RANK):
        raise Fault(f'"input" is nested over {MAX_RANK} deep')
    kinds: set[str] = set()
    _measure(value, kinds)
    if len(kinds) > 1:
        raise Fault(f'"input" must contain values of one kind, found {" and ".join(sorted(kinds))}')


def _measure(value: Any, kinds: set[str]) -> tuple[int, ...]:
    """The lengths of its lists; the kinds of its values go into `kinds`."""
    if not isinstance(value, list):
        if value is None or isinstance(value, dict):
            raise Fault(f'"input" must contain numbers, strings or booleans, found {kind_of(value)}')
        kinds.add("truths" if isinstance(value, bool) else "texts" if isinstance(value, str) else "numbers")
        return ()
    if not value:
        raise Fault('"input" contains an empty list')
    inner = {_measure(part, kinds) for part in value}
    if len(inner) > 1:
        raise Fault('"input" must be rectangular: the lists in a list must have the same length')
    return (len(value), *inner.pop())


def _check_params(params: Any, beside: int | None) -> int | None:
    """The record's own `max_tokens`, if any. The provider validates everything else in a complete request."""
    if not isinstance(params, dict):
        raise Fault(f'"params" must be an object, found {kind_of(params)}')
    messages = params.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Fault(f'params: "messages" must be a non-empty list, found {kind_of(messages)}')
    for number, message in enumerate(messages):
        _refuse_blank(message, f"params: messages[{number}]")
    model = params.get("model", "model")
    if not isinstance(model, str) or not MODEL_NAME.fullmatch(model):
        raise Fault(f'params: "model" must be the name of a model, found {kind_of(model)}')
    if params.get("stream"):
        raise Fault('params: "stream" is not supported: answers are never streamed')
    if beside is not None and "max_tokens" in params:
        raise Fault('"max_tokens" is given twice: next to "params" and in it')
    return _max_tokens(params) if "max_tokens" in params else beside


def _max_tokens(item: Mapping[str, Any]) -> int | None:
    value: int | None = item.get("max_tokens")
    if value is not None and not bounds_answer(value):
        raise Fault(f'"max_tokens" must be a whole number from 1 to {MAX_TOKENS:,}')
    return value


def _name(item: Mapping[str, Any], key: str) -> str | None:
    value = item.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Fault(f'"{key}" must be a string, found {kind_of(value)}')
    return _check_name(value, key)


def name_in_cells(cells: Mapping[str, Any], key: str) -> str | None:
    """A row's name in its cell `key`. Raises `Fault`.

    An empty cell is no name, and a number is one: spreadsheet authors need not quote.
    """
    value = cells.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Fault(f"must be a string or a number, found {kind_of(value)}", key)
    return _check_name(str(value), key)


def _check_name(value: str, key: str) -> str:
    if not 1 <= len(value) <= MAX_ID_CHARACTERS:
        raise Fault(f'"{key}" must have 1 to {MAX_ID_CHARACTERS} characters, found {len(value):,}')
    if not is_plain(value):
        raise Fault(f'"{key}" must be plain text, without NUL and unpaired surrogates')
    return value


def check_cells(cells: Mapping[str, Any]) -> None:
    """Raise `Fault` for a cell that is too large."""
    for column, cell in cells.items():
        if cell:  # most cells of a wide table are empty
            _check_cell(column, cell)


def _check_cell(column: str, cell: Any) -> None:
    if cell is None or isinstance(cell, int | float):
        return
    size = byte_size(cell) if isinstance(cell, str) else len(as_json(cell))
    if size > MAX_CELL_BYTES:
        raise Fault(f"the cell has {size:,} bytes; the limit is {MAX_CELL_BYTES:,}", column)


def _body(key: str, value: Any) -> bytes:
    # An object with one key, assembled here: a bare string is encoded twice as fast as an object with it.
    return b'{"%b":%b}' % (key.encode(), as_json(value))


def _listed(keys: Iterable[str]) -> str:
    """The first keys, quoted and truncated: their names are chosen by the sender."""
    quoted = [f'"{key[:60]}"' for key in keys]
    return ", ".join(quoted[:8]) + (f" and {len(quoted) - 8} more" if len(quoted) > 8 else "")
