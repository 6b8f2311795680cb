"""In which form an answer is streamed, by what was asked."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.errors import RequestRejected
from app.providers import openai_answers, openai_limits
from app.providers.openai_requests import CHAT, RESPONSES
from app.providers.streams import completions, messages, responses
from app.providers.streams.form import Form

_OF_PATH = {
    path: Form(module.Assembly, module.events, openai_answers.read, openai_limits.refused)
    for path, module in ((CHAT, completions), (RESPONSES, responses))
}


def of(params: Mapping[str, Any]) -> Form:
    """That of a Messages request, or of a whole one for a path; raises `RequestRejected` without any."""
    if "url" not in params:
        return messages.FORM
    form = _OF_PATH.get(params["url"])
    if form is None:
        raise RequestRejected(f"stream: answers of {params['url']} are not streamed")
    return replace(form, shows=completions.shows(params["body"])) if params["url"] == CHAT else form
