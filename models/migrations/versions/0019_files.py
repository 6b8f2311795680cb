"""Files of tenants, the batches made of them, when a job was closed, and the status of refusals

Only additions: the release before this one has neither files nor such batches.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "file",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", BIG_ID, nullable=False),
        sa.Column("user_id", BIG_ID, nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("stored_at", TIME, nullable=True),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("removed_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_file_tenant_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_file_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file")),
        sa.UniqueConstraint("uid", name=op.f("uq_file_uid")),
    )
    op.create_index("ix_file_tenant_id_uid", "file", ["tenant_id", "uid"])
    for name, column, where in (
        ("ix_file_expires_at", "expires_at", "removed_at IS NULL"),
        ("ix_file_removed_at", "created_at", "removed_at IS NOT NULL"),
    ):
        op.create_index(name, "file", [column], postgresql_where=sa.text(where), sqlite_where=sa.text(where))
    op.create_table(
        "file_batch",
        sa.Column("job_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("endpoint", sa.String(length=64), nullable=False),
        sa.Column("input_file", sa.String(length=64), nullable=True),
        sa.Column("completion_window", sa.String(length=16), nullable=False),
        sa.Column("errors", sa.JSON(), nullable=True),
        sa.Column("output_seconds", sa.Integer(), nullable=True),
        sa.Column("output_deleted_at", TIME, nullable=True),
        sa.Column("errors_deleted_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_file_batch_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_file_batch")),
    )
    op.add_column("job", sa.Column("closed_at", TIME, nullable=True))
    op.add_column("record_output", sa.Column("error_status", sa.SmallInteger(), nullable=True))
