"""Shared by all tables: the base class, the types that both databases store alike, and their clock."""

import datetime as dt
import json
import secrets
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Dialect,
    Float,
    Integer,
    MetaData,
    Select,
    SQLColumnExpression,
    Text,
    Uuid,
    and_,
    bindparam,
    func,
    select,
)
from sqlalchemy import column as column_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# SQLite numbers rows only for an INTEGER PRIMARY KEY.
BigId = BigInteger().with_variant(Integer, "sqlite")
Uid = Uuid(as_uuid=True)


class UTCDateTime(TypeDecorator[dt.datetime]):
    """An aware UTC time; SQLite, which has no time zones, stores it as text that sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: give an aware time")
        value = value.astimezone(dt.UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class now(FunctionElement[dt.datetime]):
    """The database's clock, `seconds` from now. Workers' clocks may be wrong; this one is shared by all.

    The start of the transaction in PostgreSQL, the current moment in SQLite (to the millisecond).
    """

    type = UTCDateTime()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[float] = 0.0) -> None:
        is_expression = isinstance(seconds, ColumnElement)  # one value for each row
        super().__init__(seconds if is_expression else bindparam(None, float(seconds), type_=Float))


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(now() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    # %f is SS.SSS; three zeros give the text that SQLAlchemy writes, so that the two can be compared.
    seconds = compiler.process(element.clauses, **kw)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"


class moment(FunctionElement[dt.datetime]):
    """The database's clock at this very moment, for what must not come before what other transactions did."""

    type = UTCDateTime()
    inherit_cache = True


@compiles(moment, "postgresql")
def _moment_postgresql(element: moment, compiler: SQLCompiler, **kw: Any) -> str:
    return "clock_timestamp()"


@compiles(moment, "sqlite")
def _moment_sqlite(element: moment, compiler: SQLCompiler, **kw: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


class utc_day(FunctionElement[dt.date]):
    """The day, in UTC, of a time in a row."""

    type = Date()
    inherit_cache = True


@compiles(utc_day, "postgresql")
def _utc_day_postgresql(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({compiler.process(element.clauses, **kw)} AT TIME ZONE 'UTC')::date"


@compiles(utc_day, "sqlite")
def _utc_day_sqlite(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    return f"date({compiler.process(element.clauses, **kw)})"


class epoch(FunctionElement[float]):
    """Seconds since 1970 of a time in a row, to the millisecond."""

    type = Float()
    inherit_cache = True


@compiles(epoch, "postgresql")
def _epoch_postgresql(element: epoch, compiler: SQLCompiler, **kw: Any) -> str:
    return f"extract(epoch FROM {compiler.process(element.clauses, **kw)})::double precision"


@compiles(epoch, "sqlite")
def _epoch_sqlite(element: epoch, compiler: SQLCompiler, **kw: Any) -> str:
    # Julian days, as `unixepoch` has no fractions before SQLite 3.42.
    return f"((julianday({compiler.process(element.clauses, **kw)}) - 2440587.5) * 86400.0)"


class iso(FunctionElement[str]):
    """A time in a row as ISO 8601 in UTC, to the microsecond and always of the same width."""

    type = Text()
    inherit_cache = True


@compiles(iso, "postgresql")
def _iso_postgresql(element: iso, compiler: SQLCompiler, **kw: Any) -> str:
    time = compiler.process(element.clauses, **kw)
    return f"""to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


@compiles(iso, "sqlite")
def _iso_sqlite(element: iso, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(replace({compiler.process(element.clauses, **kw)}, ' ', 'T') || 'Z')"


class _Integers(TypeDecorator[Sequence[int]]):
    """Many integers in one value: an array, or JSON where the database has no arrays."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Integer) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" else json.dumps(value)


class any_of(FunctionElement[bool]):
    """Whether a column is one of many integers.

    Unlike an IN its SQL text is the same for any number of them: with a hundred placeholders to parse, the
    driver takes half as long again for the whole statement.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: SQLColumnExpression[Any], values: Iterable[int] | str) -> None:
        """`values` may be the name of the parameter that holds them."""
        if isinstance(values, str):
            super().__init__(column, bindparam(values, type_=_Integers))
        else:
            super().__init__(column, bindparam(None, list(values), type_=_Integers))

    def self_group(self, against: Any = None) -> Any:
        return self  # no `= 1` around it: SQLite would not use an index then


def any_among(column: SQLColumnExpression[int], values: Sequence[int]) -> ColumnElement[bool]:
    """As `any_of`, for some of a job's rows.

    A planner that knows nothing of a table yet reads all of a job rather than looking hundreds of its rows
    up. Bounds beside the list mostly keep it from that.
    """
    listed = any_of(column, values)
    return and_(column.between(min(values), max(values)), listed) if values else listed


@compiles(any_of, "postgresql")
def _any_of_postgresql(element: any_of, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = element.clauses
    return f"({compiler.process(column, **kw)} = ANY ({compiler.process(values, **kw)}))"


@compiles(any_of, "sqlite")
def _any_of_sqlite(element: any_of, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = element.clauses
    items: Select[int] = select(column_("value")).select_from(func.json_each(values))
    return f"({compiler.process(column, **kw)} IN ({compiler.process(items, **kw)}))"


class _Part(TypeDecorator[bytes]):
    """Bytes between wildcards of LIKE, as PostgreSQL's `encode` or SQLite's `hex` writes bytes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> str:
        part = value or b""
        if dialect.name != "postgresql":
            return f"%{'%'.join(word.hex() for word in part.split(b'%'))}%"
        shown = part.replace(b"\\", rb"\\\\").decode("latin-1")  # escaped by `encode`, and by LIKE
        return "%" + "".join(sign if sign.isascii() else rf"\\{ord(sign):03o}" for sign in shown) + "%"


class may_have(FunctionElement[bool]):
    """Whether a column's bytes may hold one of `parts`, in which letters of ASCII are small; capitals match.

    `%` in a part stands for anything. It takes 4 µs for a kilobyte, and never fails, whatever the bytes.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: SQLColumnExpression[Any], parts: Iterable[bytes]) -> None:
        super().__init__(column, *(bindparam(None, part, type_=_Part) for part in parts))

    def self_group(self, against: Any = None) -> Any:
        return self


@compiles(may_have, "postgresql")
def _may_have_postgresql(element: may_have, compiler: SQLCompiler, **kw: Any) -> str:
    column, *parts = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"""(lower(encode({column}, 'escape') COLLATE "C") LIKE ANY (ARRAY[{", ".join(parts)}]))"""


@compiles(may_have, "sqlite")
def _may_have_sqlite(element: may_have, compiler: SQLCompiler, **kw: Any) -> str:
    column, *parts = (compiler.process(clause, **kw) for clause in element.clauses)
    small = f"hex(lower(CAST({column} AS TEXT)))"  # LIKE itself would end at a zero byte
    return f"({' OR '.join(f'{small} LIKE {part}' for part in parts)})"


class _IntegerByInteger(TypeDecorator[Mapping[int, int]]):
    """Many pairs in one value: JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[int, int] | None, dialect: Dialect) -> str:
        return json.dumps(value)


class looked_up(FunctionElement[int]):
    """The value that a mapping has for a column's integer. Unlike a CASE its SQL text is always the same."""

    type = BigInteger()
    inherit_cache = True

    def __init__(self, column: SQLColumnExpression[Any], values: Mapping[int, int]) -> None:
        super().__init__(column, bindparam(None, values, type_=_IntegerByInteger))


@compiles(looked_up, "postgresql")
def _looked_up_postgresql(element: looked_up, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"(({values})::jsonb ->> ({column})::text)::bigint"


@compiles(looked_up, "sqlite")
def _looked_up_sqlite(element: looked_up, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"""json_extract({values}, '$."' || {column} || '"')"""


class _Counts(TypeDecorator[Mapping[str, int]]):
    """Numbers by name in one value: JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, int] | None, dialect: Dialect) -> str:
        return json.dumps(value)


class counted(FunctionElement[Mapping[str, int]]):
    """A JSON column of counts by name, with those of the parameter `by` added to it (below 0: taken off).

    Only the 50 largest above 0 are kept, as the names may come from outside.
    """

    type = JSON()
    inherit_cache = True

    def __init__(self, column: SQLColumnExpression[Any], by: str) -> None:
        super().__init__(column, bindparam(by, type_=_Counts))


_LARGEST = (
    "(SELECT {object}(key, total) FROM (SELECT key, sum(value) AS total FROM ({parts}) AS parts GROUP BY key"
    " HAVING sum(value) > 0 ORDER BY total DESC, key LIMIT 50) AS kept)"
)
_POSTGRESQL_PARTS = (
    "SELECT key, value::bigint AS value FROM json_each_text(coalesce({column}, '{{}}'::json))"
    " UNION ALL SELECT key, value::bigint FROM json_each_text(({by})::json)"
)
_SQLITE_PARTS = (
    "SELECT key, value FROM json_each(coalesce({column}, '{{}}'))"
    " UNION ALL SELECT key, value FROM json_each({by})"
)


@compiles(counted, "postgresql")
def _counted_postgresql(element: counted, compiler: SQLCompiler, **kw: Any) -> str:
    column, by = (compiler.process(clause, **kw) for clause in element.clauses)
    return _LARGEST.format(object="json_object_agg", parts=_POSTGRESQL_PARTS.format(column=column, by=by))


@compiles(counted, "sqlite")
def _counted_sqlite(element: counted, compiler: SQLCompiler, **kw: Any) -> str:
    column, by = (compiler.process(clause, **kw) for clause in element.clauses)
    return _LARGEST.format(object="json_group_object", parts=_SQLITE_PARTS.format(column=column, by=by))


class whole(FunctionElement[int]):
    """An amount of at least 0 without its fraction; a cast rounds in PostgreSQL and truncates in SQLite."""

    type = BigInteger()
    inherit_cache = True


@compiles(whole, "postgresql")
def _whole_postgresql(element: whole, compiler: SQLCompiler, **kw: Any) -> str:
    return f"floor({compiler.process(element.clauses, **kw)})::bigint"


@compiles(whole, "sqlite")
def _whole_sqlite(element: whole, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS INTEGER)"


def new_uid() -> uuid.UUID:
    """A UUIDv7: sorts by the millisecond of its creation, the rest is random."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def first_uid(time: dt.datetime) -> uuid.UUID:
    """Not above any id of `new_uid` from that time on, and above all earlier ones."""
    return uuid.UUID(int=int(time.timestamp() * 1000) << 80)


def record_uid(job: uuid.UUID, index: int) -> str:
    """The id of a job's record as text: the job's id with its random tail counted up, so nothing is stored.

    Records sort by index after their job. Two records of one job never share an id; two of different jobs do
    with the odds of any two UUIDv7s of one millisecond.
    """
    tail = (1 << 62) - 1
    digits = f"{job.int & ~tail | (job.int + 1 + index) & tail:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
