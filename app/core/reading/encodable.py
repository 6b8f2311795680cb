"""Whether an encoding can hold the answers of a job, which may have other characters than its table."""

from collections.abc import Iterable

from app.core.json_text import text
from app.core.reading.answers import answer_text
from app.core.reading.records import RecordView

UNICODE = ("utf-", "gb18030")  # hold every character


def holds_all(encoding: str, records: Iterable[RecordView]) -> bool:
    """Whether `encoding` has every character of the answers and errors of `records`."""
    return encoding.startswith(UNICODE) or all(
        _holds(encoding, _answer(record)) and _holds(encoding, text(record.error_message) or "")
        for record in records
    )


def _answer(record: RecordView) -> str:
    """The text of an answer; nothing for one that is ASCII, without reading it."""
    answer = record.answer or b""
    return "" if answer.isascii() and b"\\u" not in answer else answer_text(answer)


def _holds(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
