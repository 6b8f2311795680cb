"""Records, their inputs and outputs, the windows that offer them, and the attempts made for them.

The tables with one row per record have no foreign keys: checking a row would cost more than writing it, and
a job's row is never deleted.
"""

import datetime as dt
import uuid
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    false,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, Uid, UTCDateTime, now


class RecordStatus(IntEnum):
    """The state of a record. To callers the first three are all `pending`."""

    PENDING = 0  # never claimed; a window offers it by its index
    BLOCKED = 1  # a conversation's later turn: the one before it has not ended
    WAITING = 2  # given back or freed: may be claimed from `not_before` on; None: only in isolation
    RUNNING = 3  # claimed under a lease
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6
    EXPIRED = 7

    @property
    def word(self) -> str:
        return "pending" if self in UNASKED else self.name.lower()


UNASKED = frozenset({RecordStatus.PENDING, RecordStatus.BLOCKED, RecordStatus.WAITING})
ENDED = frozenset({RecordStatus.SUCCEEDED, RecordStatus.FAILED, RecordStatus.CANCELLED, RecordStatus.EXPIRED})


def _only(name: str, *columns: str, status: RecordStatus) -> Index:
    where = text(f"status = {status.value}")
    return Index(name, *columns, postgresql_where=where, sqlite_where=where)


class Record(Base):
    """One unit of work. Narrow, because each row is written three times: inserted, claimed, ended."""

    __tablename__ = "record"
    __table_args__ = (
        # To find the next turn to free and the turns before one: it holds only records of conversations.
        Index(
            "ix_record_conversation",
            "job_id",
            "conversation",
            "idx",
            postgresql_where=text("conversation IS NOT NULL"),
            sqlite_where=text("conversation IS NOT NULL"),
        ),
        _only("ix_record_waiting", "job_id", "not_before", status=RecordStatus.WAITING),
        _only("ix_record_running", "job_id", "lease_id", status=RecordStatus.RUNNING),
        _only("ix_record_failed", "job_id", "idx", status=RecordStatus.FAILED),
    )

    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    idx: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    status: Mapped[int] = mapped_column(SmallInteger)
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)  # calls made, including one in flight
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)  # calls that failed by the record's own fault
    deaths: Mapped[int] = mapped_column(SmallInteger, default=0)  # of processes that held it
    max_tokens: Mapped[int | None] = mapped_column(Integer)
    request_bytes: Mapped[int] = mapped_column(Integer)
    conversation: Mapped[int | None] = mapped_column(Integer)  # the index of its first turn
    lease_id: Mapped[int | None] = mapped_column(BigInteger)
    not_before: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    claimed_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # of its latest call
    # Under a cap: pico-dollars that the call in flight may cost at most. Counts while the record is running.
    reserved: Mapped[int | None] = mapped_column(BigInteger)
    # The basis of its worst case where `request_bytes` and the job do not suffice: the bytes of its latest
    # call, including earlier turns of the conversation or its document, and those of its own params that
    # affect the price.
    sent_bytes: Mapped[int | None] = mapped_column(BigInteger)
    priced_by: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))


class RecordInput(Base):
    """A record's request, in the form of `app.ingest.draft.Draft.body`. Insert-only."""

    __tablename__ = "record_input"

    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    idx: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    # UTF-8 with lone surrogates: any JSON text.
    custom_id: Mapped[bytes | None] = mapped_column(LargeBinary)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class RecordOutput(Base):
    """How an asked record has ended. Written once, removed only with a retry or the job's content."""

    __tablename__ = "record_output"
    __table_args__ = (Index("uq_record_output_job_id_seq", "job_id", "seq", unique=True),)

    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    idx: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    # The order in which the job's records ended. Taken from `job_counts` under its lock, so that no smaller
    # one appears after a reader has passed: as a cursor it never misses a record.
    seq: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)  # the answer's bytes as received
    # The answer's JSON as the job's schema has it; None without a schema, and where it does not fit.
    value: Mapped[bytes | None] = mapped_column(LargeBinary)
    repair: Mapped[str | None] = mapped_column(String(16))  # what made it fit; None: it did so at once
    copy_of: Mapped[int | None] = mapped_column(Integer)  # the index of the record whose end it shares
    reused_job: Mapped[uuid.UUID | None] = mapped_column(Uid)  # the earlier job that it was asked in
    reused_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # when it was answered there
    stop_reason: Mapped[str | None] = mapped_column(String(64))  # of the answer; None: it does not say
    error_type: Mapped[str | None] = mapped_column(String(100))
    error_message: Mapped[bytes | None] = mapped_column(LargeBinary)
    # Of the provider's refusal, where there was one; also None of an earlier release.
    error_status: Mapped[int | None] = mapped_column(SmallInteger)
    error_body: Mapped[bytes | None] = mapped_column(LargeBinary)  # JSON of that refusal, unless it is long
    # Of the answer; None without one, and where it does not say.
    usage: Mapped[dict[str, int] | None] = mapped_column(JSON)
    cost: Mapped[int | None] = mapped_column(BigInteger)  # pico-dollars of all its answered attempts
    latency_ms: Mapped[int | None] = mapped_column(Integer)  # of the call that ended it
    started_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    ended_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())


class RecordCopy(Base):
    """A record that asks the same as an earlier one of its job: blocked until that ends, and ends with it."""

    __tablename__ = "record_copy"
    __table_args__ = (Index("uq_record_copy_job_id_idx", "job_id", "idx", unique=True),)

    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    copy_of: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)  # its index
    idx: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)


class AskedRequest(Base):
    """A request of a job whose answers may be given again: how an equal one of a later job finds it.

    Written only by jobs that reuse answers, for the records that they do ask.
    """

    __tablename__ = "asked_request"
    __table_args__ = (Index("ix_asked_request_job_id", "job_id", "idx"),)

    tenant_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    idx: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)


class Window(Base):
    """A range of a job's records that is offered to workers: one Celery chord.

    `cursor` moves from `first` to `last` as slices claim, so that a claim scans nothing. A window may have an
    empty range: it then only serves records that were given back, or, if `isolated`, suspected ones.
    """

    __tablename__ = "window"
    __table_args__ = (
        Index(
            "ix_window_unclosed",
            "job_id",
            postgresql_where=text("closed_at IS NULL"),
            sqlite_where=text("closed_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    first: Mapped[int] = mapped_column(Integer)
    last: Mapped[int] = mapped_column(Integer)  # exclusive
    cursor: Mapped[int] = mapped_column(Integer)
    isolated: Mapped[bool] = mapped_column("alone", Boolean, default=False, server_default=false())
    # Its present offer is for one record alone, whose request has the shared part kept for all others.
    primes: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    # Carried by messages. Publishing again raises it; a slice or callback of an older epoch returns at once.
    epoch: Mapped[int] = mapped_column(Integer, default=1)
    offered_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # of this epoch; None: withdrawn
    published_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # None: its chord is yet to be sent
    incarnation: Mapped[str | None] = mapped_column(String(64))  # of the broker it was sent to
    slice_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # the latest claim of this epoch
    drained_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # no record of it is left to claim
    closed_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # no record of it is in flight


class Attempt(Base):
    """One call of a provider; the attempts are the ledger. They hold no content and are never removed.

    `outcome`: `answered` (cost known; an error's is 0), `unsent` (no byte left, or nothing that matters) or
    `unconfirmed` (killed, cut, timed out or cancelled after sending: the cost is the worst case until a late
    answer shows it; or answered without saying what it took).
    """

    __tablename__ = "attempt"
    __table_args__ = (Index("ix_attempt_tenant_id_ended_at", "tenant_id", "ended_at"),)

    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    idx: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    tenant_id: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(String(12))
    error_type: Mapped[str | None] = mapped_column(String(100))
    model: Mapped[str] = mapped_column(String(200))
    request_id: Mapped[str | None] = mapped_column(String(200))  # the provider's
    input_tokens: Mapped[int] = mapped_column(Integer, default=0)
    output_tokens: Mapped[int] = mapped_column(Integer, default=0)
    cache_read_tokens: Mapped[int] = mapped_column(Integer, default=0)
    cache_write_5m_tokens: Mapped[int] = mapped_column(Integer, default=0)
    cache_write_1h_tokens: Mapped[int] = mapped_column(Integer, default=0)
    server_tool_uses: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    price: Mapped[str | None] = mapped_column(String(200))  # the id of the price in force; None: no price
    cost: Mapped[int | None] = mapped_column(BigInteger)  # pico-dollars
    # Pico-dollars that it would have cost more without its provider's cache; below 0: less. None: no cache.
    cache_saved: Mapped[int | None] = mapped_column(BigInteger)
    started_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    ended_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    confirmed_at: Mapped[dt.datetime | None] = mapped_column(
        UTCDateTime
    )  # when a late answer showed its cost

    @hybrid_property
    def cache_write_tokens(self) -> int:
        """Tokens written to the cache, for any duration."""
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens
