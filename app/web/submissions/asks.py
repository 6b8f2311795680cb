"""Several prompts for each row: `asks` in a submission, each with the name of the column for its answers."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import marshmallow as ma
from marshmallow import fields

from app.errors import BadInput, TooLarge
from app.ingest.draft import Defaults, Draft, asking, refused
from app.ingest.operations import Operation
from app.ingest.templates import Template, compile_template
from app.ingest.values import from_json, is_blank, is_line

MOST = 20
MAX_NAME_CHARACTERS = 100
ROW = b'{"row":'  # how the body of a record begins that is a row
SYSTEM = "penstock_system"  # what operations call the system prompt, which is no template
MAX_ID_CHARACTERS = 256


class Ask(NamedTuple):
    """One prompt. `name` is the column that its answers go to."""

    name: str
    template: str


class Asks(fields.Field[list[Ask]]):
    """A list of `{"name": …, "template": …}` or of texts `name: template`."""

    def __init__(self) -> None:
        one = {"type": "object", "properties": {"name": {"type": "string"}, "template": {"type": "string"}}}
        description = (
            "Several prompts for each row in place of `template`: objects with `name` and `template`, or"
            " texts `name: template`. Each row is asked each of them, as one record each, and tables of"
            " results have a row for each row with a column for each name."
        )
        items = {"anyOf": [one | {"required": ["name", "template"]}, {"type": "string", "pattern": ".+:.+"}]}
        metadata = {
            "type": "array",
            "items": items,
            "minItems": 1,
            "maxItems": MOST,
            "description": description,
        }
        super().__init__(allow_none=True, metadata=metadata)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> list[Ask]:
        if not isinstance(value, list) or not 1 <= len(value) <= MOST:
            raise ma.ValidationError(f"give a list of 1 to {MOST} prompts")
        asks = [_ask(one) for one in value]
        names = [ask.name for ask in asks]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ma.ValidationError(f"the name {twice!r} is given twice")
        return asks


def _ask(value: Any) -> Ask:
    if isinstance(value, str):
        name, _, template = value.partition(":")
        value = {"name": name, "template": template.strip()}
    if not isinstance(value, dict) or value.keys() != {"name", "template"}:
        raise ma.ValidationError('give each as {"name": …, "template": …}, or as a text "name: template"')
    name, template = value["name"], value["template"]
    if not isinstance(name, str) or not isinstance(template, str) or is_blank(template):
        raise ma.ValidationError("give each a name and a text, such as `tone: Which tone has {{ text }}?`")
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not is_line(name):
        raise ma.ValidationError(
            f"a name has 1 to {MAX_NAME_CHARACTERS} printable characters; found {name[:100]!r}"
        )
    return Ask(name, template)


def combined(asks: Iterable[Ask]) -> Template:
    """One template that uses what all of them use: by it rows are read and judged."""
    return compile_template("\n".join(ask.template for ask in asks))


def with_asks(defaults: Defaults, asks: Iterable[Ask]) -> Defaults:
    """The job's defaults, with an operation for each prompt. Raises `BadInput` beside a template."""
    if defaults.template is not None:
        raise BadInput("asks: they stand in place of `template`: give one of the two")
    values = {} if defaults.system is None else {SYSTEM: defaults.system}
    system = None if defaults.system is None else f"{{{{ {SYSTEM} }}}}"
    made = {
        ask.name: Operation(ask.template, system=system, schema=defaults.schema, values=values)
        for ask in asks
    }
    for operation in made.values():
        operation.check()
    return replace(defaults, operations=made)


def spread(drafts: Iterable[Draft], defaults: Defaults, most: int) -> Iterator[Draft]:
    """A record of each row for each prompt, in their order; raises `BadInput` for a record that is no row."""
    count = 0
    for draft in drafts:
        if not draft.body.startswith(ROW):
            raise BadInput("asks: they are for rows, and a record asks by itself: leave `asks` out")
        row: Mapping[str, Any] = from_json(draft.body.decode())["row"]
        for name in defaults.operations:
            count += 1
            if count > most:
                raise TooLarge(
                    f"with {len(defaults.operations)} prompts for each row these are over {most:,} records"
                    " (MAX_RECORDS): submit the others as another job"
                )
            yield _record(name, row, draft, defaults)


def _record(name: str, row: Mapping[str, Any], draft: Draft, defaults: Defaults) -> Draft:
    custom_id, conversation = (_of(own, name) for own in (draft.custom_id, draft.conversation))
    if is_blank(defaults.operations[name].prompt_for(row)):
        return refused("blank_prompt", f"the prompt {name!r} is blank for this row", custom_id=custom_id)
    made = asking(name, row, defaults, custom_id=custom_id, conversation=conversation)
    return made._replace(max_tokens=draft.max_tokens)


def _of(own: str | None, name: str) -> str | None:
    """The name of a row's record or conversation, for one of its prompts."""
    return None if own is None else f"{own}/{name}"[:MAX_ID_CHARACTERS]
