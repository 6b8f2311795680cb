"""The records of a row that was asked several prompts, as one row of a table."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from app.core.json_text import text
from app.core.money import pricing
from app.core.reading import table_rows
from app.core.reading.answers import answer_text
from app.core.reading.layout import Row
from app.core.reading.records import RecordView
from models.record import RecordStatus

WORST = ("failed", "expired", "cancelled")  # how a record ended, the worst first
PENDING = "pending"  # of a row whose other records have not ended


def joined(records: Iterable[RecordView], names: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """A row for each group of records, which come by index, with its place among the rows."""
    for place, group in groupby(records, key=lambda record: record.idx // len(names)):
        yield place, _row(place, list(group), names)


def _row(place: int, group: Sequence[RecordView], names: Sequence[str]) -> Row:
    by_name = {names[record.idx % len(names)]: record for record in group}
    first = table_rows.row(group[0])
    usages = [record.usage for record in group if record.usage is not None]
    costs = [record.cost for record in group if record.cost is not None]
    return replace(
        first,
        cells={**first.cells, table_rows.IDENTITY[0]: place},
        answers=[_answer(by_name.get(name)) for name in names],
        status=_status(group, names),
        stop_reason="; ".join(dict.fromkeys(one.stop_reason for one in group if one.stop_reason)) or None,
        error="; ".join(_error(name, one) for name, one in by_name.items() if one.error_type) or None,
        input_tokens=sum(usage["input_tokens"] for usage in usages) if usages else None,
        output_tokens=sum(usage["output_tokens"] for usage in usages) if usages else None,
        cost=pricing.dollars(sum(costs)) if costs else None,
    )


def _answer(record: RecordView | None) -> str | None:
    return None if record is None or record.answer is None else answer_text(record.answer)


def _status(group: Sequence[RecordView], names: Sequence[str]) -> str:
    words = {record.status.word for record in group}
    for word in WORST:
        if word in words:
            return word
    return RecordStatus.SUCCEEDED.word if len(group) == len(names) else PENDING


def _error(name: str, record: RecordView) -> str:
    return f"{name}: {record.error_type}: {text(record.error_message) or ''}"
