"""Answers as data: values, what made them fit, copies within a job, answers given again, and a first try

Only additions: the release before this one goes on beside it, and what it writes has none of them.
"""

import sqlalchemy as sa
from alembic import op

from models.base import Uid, UTCDateTime

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("reused_cost", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("job", sa.Column("copies", sa.Integer(), server_default="0", nullable=False))
    op.add_column("job", sa.Column("try_first", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("tried_at", UTCDateTime(), nullable=True))
    op.add_column("job", sa.Column("forecast", sa.JSON(), nullable=True))
    op.add_column("job", sa.Column("dearer_at", UTCDateTime(), nullable=True))
    op.add_column("job_spec", sa.Column("escalate_to", sa.String(200), nullable=True))
    op.add_column("job_counts", sa.Column("repairs", sa.JSON(), nullable=True))
    op.add_column("job_counts", sa.Column("copied_cost", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("record_output", sa.Column("value", sa.LargeBinary(), nullable=True))
    op.add_column("record_output", sa.Column("repair", sa.String(16), nullable=True))
    op.add_column("record_output", sa.Column("copy_of", sa.Integer(), nullable=True))
    op.add_column("record_output", sa.Column("reused_job", Uid, nullable=True))
    op.add_column("record_output", sa.Column("reused_at", UTCDateTime(), nullable=True))
    op.create_table(
        "record_copy",
        sa.Column("job_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("copy_of", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("idx", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "copy_of", "idx", name="pk_record_copy"),
    )
    op.create_index("uq_record_copy_job_id_idx", "record_copy", ["job_id", "idx"], unique=True)
    op.create_table(
        "asked_request",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(16), nullable=False),
        sa.Column("job_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("idx", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "digest", "job_id", "idx", name="pk_asked_request"),
    )
    op.create_index("ix_asked_request_job_id", "asked_request", ["job_id", "idx"])
