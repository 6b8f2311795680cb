"""A job: its row, what its records share, and the narrow row that changes with every answer."""

import datetime as dt
import unicodedata
import uuid
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, validates

from models.base import Base, BigId, Uid, UTCDateTime, new_uid, now


class JobStatus(StrEnum):
    STAGING = "staging"  # its records are being written; it is not visible yet
    PENDING = "pending"  # complete, nothing asked yet
    RUNNING = "running"
    PAUSED = "paused"  # no new calls; those in flight end
    CANCELLING = "cancelling"  # closed: calls in flight are being ended
    COMPLETED = "completed"  # every record has ended
    FAILED = "failed"  # the job itself could not run; no record was asked
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        return self in FINAL


FINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED})
WHOLE, STREAM = "whole", "stream"  # in which form a caller waits for the answer of an attended job
LIVE = frozenset({JobStatus.PENDING, JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLING})
LISTED = "attended IS NULL AND deleted_at IS NULL"
UNENDED = "status IN ('staging','pending','running','paused','cancelling')"


def folded(text: str) -> str:
    """A text as a search compares it: without case and forms of letters, in any language.

    Not in the database: SQLite folds ASCII alone, PostgreSQL what its locale happens to know.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


class Job(Base):
    __tablename__ = "job"
    __table_args__ = (
        Index("ix_job_tenant_id_uid", "tenant_id", "uid"),
        # For the list of jobs, whose owner may have made a hundred times as many single calls.
        Index(
            "ix_job_listed",
            "tenant_id",
            "uid",
            "status",
            "failures",
            postgresql_where=text(LISTED),
            sqlite_where=text(LISTED),
        ),
        Index(
            "ix_job_listed_by_status",
            "tenant_id",
            "status",
            "uid",
            postgresql_where=text(LISTED),
            sqlite_where=text(LISTED),
        ),
        Index(
            "ix_job_label",
            "tenant_id",
            "label",
            "uid",
            postgresql_where=text("label IS NOT NULL"),
            sqlite_where=text("label IS NOT NULL"),
        ),
        # For the sweep's queries; each index is only as large as the work that is unfinished.
        Index(
            "ix_job_live",
            "status",
            postgresql_where=text(UNENDED),
            sqlite_where=text(UNENDED),
        ),
        Index(
            "ix_job_unsettled",
            "id",
            postgresql_where=text("closed_as IS NOT NULL AND settled_at IS NULL"),
            sqlite_where=text("closed_as IS NOT NULL AND settled_at IS NULL"),
        ),
        Index(
            "ix_job_content",
            "ended_at",
            postgresql_where=text("content_removed_at IS NULL"),
            sqlite_where=text("content_removed_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uid: Mapped[uuid.UUID] = mapped_column(Uid, default=new_uid, unique=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    name: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(20), default=JobStatus.STAGING)
    status_reason: Mapped[str | None] = mapped_column(Text)
    # Cancel and expiry write only this: from then on a pending record of the job *is* cancelled (expired) in
    # every query; the sweep updates the rows later and then sets `settled_at`.
    closed_as: Mapped[str | None] = mapped_column(String(20))
    closed_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # when that was written
    settled_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    priority: Mapped[int] = mapped_column(Integer, default=5)  # 10 is the most urgent
    # Of a batch in the priority queue: `critical`, `high`, `normal` or `low`; its `priority` follows from the
    # weights in force, and only MAX_CONCURRENT_BATCHES run at once. None: not in that queue.
    urgency: Mapped[str | None] = mapped_column(String(20))
    time_limit_ms: Mapped[int | None] = mapped_column(Integer)  # from its first call to its expiry
    model: Mapped[str] = mapped_column(String(200))
    limit_group: Mapped[str] = mapped_column(String(200))
    total: Mapped[int] = mapped_column(Integer, default=0)
    # Of all its records, as they are sent.
    request_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    max_request_bytes: Mapped[int] = mapped_column(BigInteger, default=0)  # of its largest record
    # Of its records, what they share, and its documents, as stored. None: of a job of an earlier release.
    content_bytes: Mapped[int | None] = mapped_column(BigInteger)
    cursor: Mapped[int] = mapped_column(Integer, default=0)  # the first index not yet offered
    # Retry reopens failed and expired records from here on, thousands per transaction; None: not retrying.
    reopen_from: Mapped[int | None] = mapped_column(Integer)
    # What it reopens and with what `max_tokens`, as `app.core.requests.asked_again` writes it; None: whatever
    # failed or expired and may be answered this time.
    reopen_only: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    max_concurrent: Mapped[int | None] = mapped_column(
        Integer
    )  # calls in flight; None: only the settings decide
    retries: Mapped[int | None] = mapped_column(Integer)  # None: BATCH_RECORD_RETRY_COUNT
    max_cost: Mapped[int | None] = mapped_column(BigInteger)  # pico-dollars
    # The command with which it is paused: see `app/services/runs.py`. None: it goes on whatever ends.
    runs_with: Mapped[str | None] = mapped_column(String(64))
    # A caller waits for the answer of its only record: for the WHOLE of it, or for a STREAM. None: a batch.
    attended: Mapped[str | None] = mapped_column(String(8))
    # For how long its provider is to keep what its records share: "5m" or "1h". None: it is not asked to;
    # "none": it was, and kept nothing.
    keep: Mapped[str | None] = mapped_column(String(4))
    # Records that were answered from an earlier job, without a call.
    reused: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    reused_cost: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")  # pico-dollars, then
    # Records that ask the same as an earlier one of the job, and end with it.
    copies: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    # So many records are asked first, spread over all; then the job pauses. None: it goes on at once.
    try_first: Mapped[int | None] = mapped_column(Integer)
    tried_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # when those had ended
    # By their answers, what the whole job costs: pico-dollars as `low`, `likely` and `high`.
    forecast: Mapped[dict[str, int] | None] = mapped_column(JSON(none_as_null=True))
    dearer_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # when it had cost more than `high`
    # The caller's own name for it. It may be used again: it then refers to the newest job.
    label: Mapped[str | None] = mapped_column(String(128))
    # Its name and its label, folded: what a search looks through. None: of an earlier release.
    search_text: Mapped[str | None] = mapped_column(Text, deferred=True)
    request_id: Mapped[str | None] = mapped_column(String(128))  # of its submission, as in the logs
    # W3C's, of its submission's span, to which later windows are linked. None: it was not traced.
    traceparent: Mapped[str | None] = mapped_column(Text)
    extra: Mapped[dict[str, Any]] = mapped_column("metadata", JSON, default=dict)
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    updated_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now(), onupdate=now())
    started_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    ended_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    # Records that had failed or expired at its end. None: it has not ended, or in an earlier release.
    failures: Mapped[int | None] = mapped_column(Integer)
    expires_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    # BATCH_PERSISTENCE_BACKEND=file: when its status was written to a file.
    status_kept_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    content_removed_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    # By its owner: a 404 from then on. While it is staged: its process is dead, and no other continues it.
    deleted_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    lease_id: Mapped[int | None] = mapped_column(BigInteger)  # of the process that stages it in parts

    @validates("name", "label")
    def _note_for_searches(self, field: str, value: str | None) -> str | None:
        words = {"name": self.name, "label": self.label, field: value}
        self.search_text = folded("\n".join(word for word in words.values() if word))
        return value

    @property
    def lane(self) -> int:
        """In whose turn it is served: its tenant's, or that of its tenant's attended jobs (below 0).

        So calls that somebody waits for go before the batches of their tenant, as those of another tenant
        would that has used little; and all of them together get no more than one tenant's share.
        """
        return self.tenant_id if self.attended is None else -self.tenant_id


# In the words of `ix_job_live`: SQLite uses a partial index for no others, nor for values that are bound.
IS_UNENDED = text(UNENDED.replace("status", "job.status"))


class JobSpec(Base):
    """The part of the requests that a job's records share, written once with the job and never changed."""

    __tablename__ = "job_spec"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True, autoincrement=False)
    max_tokens: Mapped[int] = mapped_column(Integer)
    timeout: Mapped[int | None] = mapped_column(Integer)  # seconds per call; None: CALL_DEADLINE_SECONDS
    system: Mapped[str | None] = mapped_column(Text)
    template: Mapped[str | None] = mapped_column(Text)
    prompt: Mapped[str | None] = mapped_column(Text)  # asked about each document; None: they are only stored
    schema: Mapped[bytes | None] = mapped_column(LargeBinary)  # JSON, as bytes: text columns refuse \u0000
    params: Mapped[bytes] = mapped_column(LargeBinary, default=b"{}")  # JSON
    # The operations that its records may name, as `app.ingest.operations` writes them: JSON; None: none.
    operations: Mapped[bytes | None] = mapped_column(LargeBinary)
    # The names of the prompts that each row is asked, as one record each, in this order; None: there is one.
    asks: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    columns: Mapped[list[str] | None] = mapped_column(JSON)  # of the submitted table
    skipped: Mapped[list[int] | None] = mapped_column(JSON)  # numbers of the table's rows that are not asked
    # What its owner should know of how its table was read, in sentences. None: of an earlier release.
    notes: Mapped[list[str] | None] = mapped_column(JSON)
    # What its submitter's client said to the provider in headers, which go with each of its calls.
    headers: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    webhook_url: Mapped[str | None] = mapped_column(String(2048))  # told when the job ends
    # What of their own messages all records begin with: see `app.ingest.beginnings.common`. None: nothing.
    shared_input: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # False: its provider is not asked to keep what its records share. None: as the setting says.
    prompt_cache: Mapped[bool | None] = mapped_column(Boolean)
    # The model that is asked in place of the job's where that gives no answer that fits. None: no other.
    escalate_to: Mapped[str | None] = mapped_column(String(200))
    # Why its calls have no maximum cost, so that no cap can be enforced; None: they have one.
    unbounded: Mapped[str | None] = mapped_column(Text)


class JobCounts(Base):
    """The counters that every group of answers moves: the last row that a transaction locks, so narrow.

    Lock order, always: job, then records by index, then this.
    """

    __tablename__ = "job_counts"
    __table_args__ = (
        Index(
            "ix_job_counts_queued",
            "queued_at",
            postgresql_where=text("queued_at IS NOT NULL"),
            sqlite_where=text("queued_at IS NOT NULL"),
        ),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True, autoincrement=False)
    succeeded: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)
    cancelled: Mapped[int] = mapped_column(Integer, default=0)
    expired: Mapped[int] = mapped_column(Integer, default=0)
    input_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    output_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cache_read_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cost: Mapped[int] = mapped_column(BigInteger, default=0)  # pico-dollars, of answered attempts
    cost_unconfirmed: Mapped[int] = mapped_column(BigInteger, default=0)  # pico-dollars, their worst case
    # Pico-dollars that these would have cost more without their provider's cache; below 0: less.
    cache_saved: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    unpriced: Mapped[int] = mapped_column(Integer, default=0)  # answered attempts whose model has no price
    # Attempts whose answer did not say what it took; their worst case is in `cost_unconfirmed`.
    usage_unknown: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    # Of records that ended with an answer: how many by its `stop_reason`. None: of none yet.
    stop_reasons: Mapped[dict[str, int] | None] = mapped_column(JSON(none_as_null=True))
    # Of records that failed: how many by the type of their error. None: of none yet.
    error_types: Mapped[dict[str, int] | None] = mapped_column(JSON(none_as_null=True))
    # Of records whose answer did not fit at first: how many by what made it fit. None: of none yet.
    repairs: Mapped[dict[str, int] | None] = mapped_column(JSON(none_as_null=True))
    # What the calls for records cost that others are copies of, once for each copy: pico-dollars not spent.
    copied_cost: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    seq: Mapped[int] = mapped_column(BigInteger, default=0)  # of the last record that ended
    # When the job must be advanced at the latest, even if all messages about it are lost. It is here and not
    # in `job` because it is set under record locks, and the job's lock comes before those.
    wake_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime, index=True)
    # When a job with a time limit has expired. Set with its first claim, and here for the same reason.
    due_by: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    # Since when it has records to offer and no thread of a slice worker for them; None: it does not wait.
    queued_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)

    @hybrid_property
    def ended(self) -> int:
        """Records that have ended, with any status."""
        return self.succeeded + self.failed + self.cancelled + self.expired


class Spend(Base):
    """The cost of a job's calls of one day (UTC): a tenant's spending is the sum of these few rows.

    Every move of `job_counts` moves it too, in the same transaction and after it.
    """

    __tablename__ = "spend"
    __table_args__ = (Index("ix_spend_tenant_id_day", "tenant_id", "day"),)

    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    tenant_id: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[int] = mapped_column(BigInteger, default=0)  # pico-dollars, of answered attempts
    cost_unconfirmed: Mapped[int] = mapped_column(BigInteger, default=0)  # pico-dollars, their worst case


class IdempotencyKey(Base):
    """A caller's name for one submission: the same name and content is the same job."""

    __tablename__ = "idempotency_key"

    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"), primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
