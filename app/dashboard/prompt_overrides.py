"""A user's own prompts in place of the built-in ones: both side by side, and each as it will be asked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, request

from app.core.accounts.api_keys import READ, WRITE
from app.core.requests import prompt_overrides as rules
from app.dashboard import typed
from app.dashboard.blueprint import done, is_htmx, page
from app.errors import BadInput
from app.ingest.operations import Operation
from app.ingest.values import to_json
from app.services import prompt_overrides
from app.services.prompt_overrides import Texts
from app.web.auth import caller, needs

blp = Blueprint("prompt_overrides", __name__)

LIST, ONE = "dashboard.prompt_overrides.list_prompts", "dashboard.prompt_overrides.show_prompt"
_TEXT = {
    "text": "The lamp arrived within two days and gives a warm light. Its switch is loose, though, and the"
    " shop has not answered my letter.",
    "options": {"audience": "the shop's owner"},
}
# A row of each operation, to show a prompt with: what its templates can name.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(("summarize", "sentiment", "key_points", "questions"), _TEXT),
    "qa": {**_TEXT, "question": "What is wrong with the lamp?"},
    "analyze": {
        "data": {"customer": "Aurora Lighting", "orders": 12, "returns": 3},
        "notes": "Asked twice about the loose switch.",
    },
    "chat": {
        "question": "Do you deliver to islands?",
        "url": "https://shop.example/delivery",
        "lang": "en",
    },
}
MEANINGS = {
    "summarize": "what matters in a text, in a few sentences",
    "sentiment": "positive, negative or neutral, with a confidence",
    "key_points": "the points of a text, the most important first",
    "questions": "questions that help to think a text through",
    "qa": "the answer to a question from a text alone",
    "analyze": "what a business record says and what follows from it",
    "chat": "answers to questions that people ask on a web site",
}


@dataclass(frozen=True, slots=True)
class Preview:
    """A prompt as it will be asked for the example's row, or why it cannot be."""

    prompt: str | None = None
    system: str | None = None
    fault: str | None = None


@blp.get("/prompts")
@needs(READ)
def list_prompts() -> Response:
    """Every operation, and whether the user has texts of its own for it."""
    found = prompt_overrides.list_all(caller())
    return page("prompts/list.html", title="Prompts", texts=found, meanings=MEANINGS)


@blp.get("/prompts/<name>")
@needs(READ)
def show_prompt(name: str) -> Response:
    """The built-in texts beside the user's own, or, where that is asked, with a copy of them to change."""
    found = prompt_overrides.get(caller(), name)
    if request.args.get("from") == "built-in":
        return _show(found, found.shipped.prompt, found.shipped.system)
    return _show(found, *_own(found))


@blp.post("/prompts/<name>")
@needs(WRITE)
def save_prompt(name: str) -> Response:
    """Have later submissions that ask for it use the user's own texts."""
    found = prompt_overrides.get(caller(), name)
    prompt, system = typed.text("prompt"), typed.text("system")
    if prompt is None and system is None:
        nothing = BadInput("give a prompt, a system prompt or both; a button goes back to the built-in ones")
        return _show(found, prompt, system, nothing)
    try:
        prompt_overrides.put(caller(), name, prompt=prompt, system=system)
    except BadInput as error:
        return _show(found, prompt, system, error)
    return done(ONE, f"Your texts for {name} are saved: later submissions use them.", name=name)


@blp.post("/prompts/<name>/preview")
@needs(READ)
def preview_prompt(name: str) -> Response:
    """What is typed, rendered with the example; nothing is kept."""
    found = prompt_overrides.get(caller(), name)
    prompt, system = typed.text("prompt"), typed.text("system")
    if not is_htmx():
        return _show(found, prompt, system)
    return page("prompts/preview.html", preview=_preview(found, prompt, system))


@blp.post("/prompts/<name>/built-in")
@needs(WRITE)
def remove_prompt(name: str) -> Response:
    """Go back to the built-in texts."""
    prompt_overrides.remove(caller(), name)
    return done(ONE, f"The built-in texts for {name} are used again.", name=name)


def _own(texts: Texts) -> tuple[str | None, str | None]:
    return (None, None) if texts.own is None else (texts.own.prompt, texts.own.system)


def _show(texts: Texts, prompt: str | None, system: str | None, error: BadInput | None = None) -> Response:
    return page(
        "prompts/one.html",
        status=200 if error is None else error.status,
        title=texts.name,
        texts=texts,
        meaning=MEANINGS.get(texts.name),
        prompt=prompt,
        system=system,
        fault=error,
        example={name: _shown(value) for name, value in EXAMPLES.get(texts.name, {}).items()},
        built_in=_rendered(texts.shipped, texts.name),
        preview=_preview(texts, prompt, system),
    )


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value).decode()


def _preview(texts: Texts, prompt: str | None, system: str | None) -> Preview:
    """The texts with the built-in one where there is none."""
    try:
        rules.check(prompt, system)
    except BadInput as error:
        return Preview(fault=error.message)
    shipped = texts.shipped
    own = replace(shipped, prompt=prompt or shipped.prompt, system=system or shipped.system)
    return _rendered(own, texts.name)


def _rendered(operation: Operation, name: str) -> Preview:
    row = EXAMPLES.get(name, {})
    try:
        return Preview(operation.prompt_for(row), operation.system_for(row))
    except BadInput as error:
        return Preview(fault=error.message)
