"""Where a job's time goes, and its course

Only additions: the release before this one goes on beside it. The time of a job that it takes, or that was
there before, is not measured.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "job_time",
        sa.Column("job_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("milliseconds", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("watched", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("point_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_time_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_time")),
    )
    op.create_index(
        "ix_job_time_watched",
        "job_time",
        ["job_id"],
        postgresql_where=sa.text("watched"),
        sqlite_where=sa.text("watched = 1"),
    )
    op.create_table(
        "job_point",
        sa.Column("job_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "at", name=op.f("pk_job_point")),
    )
