"""A record's answer, or why it has none, as text."""

import json

from app.core.json_text import text
from app.core.reading.records import RecordView
from app.ingest.values import as_text
from app.providers import openai_answers
from app.providers.answers import text_of
from models.record import RecordStatus


def answer_text(answer: bytes) -> str:
    """The text of a stored answer; the whole answer if it does not have the expected form."""
    try:
        message = json.loads(answer)
        if message.get("type") == "inference":
            # An answer of the model `simulated` says in its text, too, that it is invented.
            mark = "[simulated] " if message.get("simulated") else ""
            return mark + as_text(message["output"])
        if message.get("type") == "message" or "content" in message:
            return text_of(message)
        if openai_answers.is_answer(message):
            return openai_answers.text_of(message)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    return answer.decode("utf-8", "replace")


def failure(record: RecordView) -> str:
    """Why a record that has ended did not succeed."""
    return "{}: {}".format(*reason(record))


def reason(record: RecordView) -> tuple[str, str]:
    """The same in two parts: a type and a sentence."""
    if record.status is RecordStatus.FAILED and record.error_type is None:
        return "failed", "the reason was removed with the content of its job"
    if record.error_type is None:
        return record.status.word, f"its job was {record.status.word} before it was sent"
    return record.error_type, text(record.error_message) or ""
