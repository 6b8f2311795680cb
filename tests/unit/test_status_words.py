"""The word of each contract for every state that a job can be in."""

import datetime as dt
import uuid

import pytest

from app.core.reading.jobs import Counts, JobView
from app.dialects.analyze import wire as analyze
from app.dialects.anthropic import wire as anthropic
from app.dialects.chats import wire as chats
from app.dialects.documents import wire as documents
from app.dialects.openai import wire as openai
from app.dialects.processor import wire as processor
from app.dialects.text import wire as text
from models.job import JobStatus

AT = dt.datetime(2026, 11, 22, 10, 15, tzinfo=dt.UTC)
SAID = ("text", "documents", "analyze", "processor", "chats", "anthropic", "openai")

# A status, how many of four records succeeded and failed, and the words in the order of SAID.
TABLE = [
    ("pending", 0, 0, ("PENDING", "pending", "accepted", "queued", "queued", "in_progress", "validating")),
    (
        "running",
        1,
        1,
        ("IN_PROGRESS", "processing", "processing", "processing", "processing", "in_progress", "in_progress"),
    ),
    (
        "paused",
        1,
        1,
        ("IN_PROGRESS", "processing", "processing", "processing", "processing", "in_progress", "in_progress"),
    ),
    (
        "cancelling",
        1,
        1,
        ("IN_PROGRESS", "processing", "processing", "processing", "processing", "canceling", "finalizing"),
    ),
    (
        "completed",
        4,
        0,
        ("COMPLETED", "completed", "completed", "completed", "processed", "ended", "completed"),
    ),
    (
        "completed",
        3,
        1,
        ("COMPLETED", "failed", "completed", "completed", "completed_with_errors", "ended", "completed"),
    ),
    (
        "completed",
        0,
        4,
        ("COMPLETED", "failed", "completed", "failed", "completed_with_errors", "ended", "completed"),
    ),
    ("cancelled", 1, 1, ("FAILED", "cancelled", "failed", "cancelled", "cancelled", "ended", "cancelled")),
    ("cancelled", 0, 0, ("FAILED", "cancelled", "failed", "cancelled", "cancelled", "ended", "cancelled")),
    (
        "expired",
        1,
        1,
        ("FAILED", "failed", "failed", "completed", "completed_with_errors", "ended", "expired"),
    ),
    ("expired", 0, 1, ("FAILED", "failed", "failed", "failed", "completed_with_errors", "ended", "expired")),
    ("failed", 0, 0, ("FAILED", "failed", "failed", "failed", "failed", "ended", "failed")),
]


def job(status: str, succeeded: int, failed: int) -> JobView:
    """A job of four records; those of a closed one that were not sent are what it was closed as."""
    closed = status if status in ("cancelled", "expired") else None
    rest = {"pending": 0, "cancelled": 0, "expired": 0}
    rest["pending" if closed is None else closed] = 4 - succeeded - failed
    started, ended = status != "pending", JobStatus(status).final
    return JobView(
        id=1,
        uid=uuid.UUID(int=1),
        name=None,
        label=None,
        status=JobStatus(status),
        status_reason=None,
        closed_as=closed,
        created_by="ada",
        priority=5,
        urgency=None,
        model="simulated",
        total=4,
        counts=Counts(running=0, succeeded=succeeded, failed=failed, **rest),
        queued=False,
        usage={},
        cost=0,
        unpriced=0,
        cost_unconfirmed=0,
        usage_unknown=0,
        stop_reasons={},
        error_types={},
        max_tokens=1024,
        max_cost=None,
        seq=succeeded + failed,
        eta=None,
        created_at=AT,
        updated_at=AT,
        started_at=AT if started else None,
        ended_at=AT if ended else None,
        expires_at=None,
        content_removed_at=None,
        metadata={},
        skipped_rows=None,
        form=None,
        has_documents=False,
    )


@pytest.mark.parametrize(("status", "succeeded", "failed", "words"), TABLE)
def test_every_contract_has_its_own_word_for_a_state_and_says_why_it_ended_early(
    status: str, succeeded: int, failed: int, words: tuple[str, ...]
) -> None:
    view = job(status, succeeded, failed)
    wires = (
        text.status,
        documents.status,
        analyze.status,
        processor.word,
        chats.status,
        anthropic.status,
        openai.status,
    )

    assert tuple(word(view) for word in wires) == words

    # Nothing is lost from the counts
    for strict in (False, True):
        assert sum(anthropic.counts(view, strict=strict).values()) == view.total

    # A reason stands beside the word for a failure, and beside that of a batch whose time ran out
    word_of = dict(zip(SAID, words, strict=True))
    assert (text.write_status(view)["message"] is not None) == (word_of["text"] == "FAILED")
    assert analyze.write_status(view, 0, None)["message"]
    has_error = "error" in processor.status(view, AT, AT)
    assert has_error == (word_of["processor"] == "failed" or status == "expired")


def test_the_table_has_every_status_that_a_job_can_have() -> None:
    unseen = {JobStatus.STAGING}
    assert {JobStatus(row[0]) for row in TABLE} == set(JobStatus) - unseen
