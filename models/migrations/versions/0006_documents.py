"""Documents, their hand-off and their audit

Only additions: the release before this one goes on beside it. It does not know jobs of documents.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("job_spec", sa.Column("prompt", sa.Text(), nullable=True))
    op.create_table(
        "blob",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("upload", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blob")),
        sa.UniqueConstraint("key", name=op.f("uq_blob_key")),
    )
    op.create_index("ix_blob_job_id", "blob", ["job_id", "id"], unique=False)
    op.create_index("ix_blob_upload", "blob", ["upload"], unique=False)
    op.create_table(
        "handoff",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("queue", sa.String(length=255), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("taken_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handoff")),
        sa.UniqueConstraint("job_id", "idx", name=op.f("uq_handoff_job_id_idx")),
    )
    op.create_index("ix_handoff_queue", "handoff", ["queue", "id"], unique=False)
    op.create_table(
        "audit_event",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", BIG_ID, nullable=False),
        sa.Column("event_type", sa.String(length=100), nullable=False),
        sa.Column("resource_type", sa.String(length=100), nullable=False),
        sa.Column("resource_id", sa.String(length=200), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_audit_event_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index("ix_audit_event_tenant_id", "audit_event", ["tenant_id", "id"], unique=False)
    op.create_index(
        "ix_audit_event_event_type", "audit_event", ["tenant_id", "event_type", "id"], unique=False
    )
