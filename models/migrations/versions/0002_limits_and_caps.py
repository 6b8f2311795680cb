"""Limits and caps

Only additions: the release before this one goes on beside it. What it spends meanwhile is not in `spend`.
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LIVE = ("staging", "pending", "running", "paused", "cancelling")
JOINT = re.compile(
    r"claude-(?:(?P<old>3-\d)-)?(?P<family>[a-z]+)(?:-(?P<major>\d)(?:-(?P<minor>\d))?)?(?:-\d{8})?$"
)


def upgrade() -> None:
    for column in ("records_per_hour", "records_per_day", "daily_cap", "monthly_cap"):
        op.add_column("tenant", sa.Column(column, sa.BigInteger(), nullable=True))
    op.add_column("job", sa.Column("request_bytes", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("job_spec", sa.Column("unbounded", sa.Text(), nullable=True))
    op.add_column("record", sa.Column("reserved", sa.BigInteger(), nullable=True))
    op.add_column("attempt", sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "limit_group",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("requests_per_minute", sa.BigInteger(), nullable=True),
        sa.Column("input_tokens_per_minute", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens_per_minute", sa.BigInteger(), nullable=True),
        sa.Column("max_concurrent_calls", sa.BigInteger(), nullable=True),
        sa.Column("learned_requests", sa.BigInteger(), nullable=True),
        sa.Column("learned_input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("learned_output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("learned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_reason", sa.String(length=200), nullable=True),
        sa.Column("probe_every", sa.Float(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_limit_group")),
    )
    op.create_table(
        "spend",
        sa.Column("job_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("cost_unconfirmed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "day", name=op.f("pk_spend")),
    )
    op.create_index("ix_spend_tenant_id_day", "spend", ["tenant_id", "day"], unique=False)
    _fill_spend()
    _move_live_jobs_to_their_groups()


def _fill_spend() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    day = "(ended_at AT TIME ZONE 'UTC')::date" if postgresql else "date(ended_at)"
    op.execute(
        f"""
        INSERT INTO spend (job_id, day, tenant_id, cost, cost_unconfirmed)
        SELECT job_id, {day}, tenant_id,
               coalesce(sum(CASE WHEN outcome = 'answered' THEN cost END), 0),
               coalesce(sum(CASE WHEN outcome = 'unconfirmed' THEN cost END), 0)
        FROM attempt GROUP BY job_id, {day}, tenant_id
        """  # noqa: S608 - no value of anybody's in it
    )


def _move_live_jobs_to_their_groups() -> None:
    """One group a provider became one a model class; jobs under way must share theirs with new ones."""
    job = sa.table("job", sa.column("model"), sa.column("limit_group"), sa.column("status"))
    old = sa.select(job.c.model).where(job.c.limit_group == "anthropic", job.c.status.in_(LIVE)).distinct()
    for model in op.get_bind().scalars(old).all():
        op.execute(
            sa.update(job)
            .where(job.c.model == model, job.c.limit_group == "anthropic", job.c.status.in_(LIVE))
            .values(limit_group=f"anthropic:{_class(model)}")
        )


def _class(model: str) -> str:
    """The model class as config/limits.toml had it at this revision."""
    found = JOINT.match(model)
    if found is None:
        return model
    family, major, minor = found["family"], found["major"], found["minor"]
    if found["old"]:
        return f"{family}-{found['old'].replace('-', '.')}"
    if family in ("fable", "mythos"):
        return "fable-5"
    if (major == "4" and family in ("opus", "sonnet")) or minor is None:
        return f"{family}-{major}"
    return f"{family}-{major}.{minor}"
