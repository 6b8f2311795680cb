"""The priority queue: batches with an urgency and a time limit, and what is configured for batching

Only additions: the release before this one goes on beside it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("urgency", sa.String(length=20), nullable=True))
    op.add_column("job", sa.Column("time_limit_ms", sa.Integer(), nullable=True))
    op.add_column("job_counts", sa.Column("due_by", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "batch_configuration",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("max_batch_size", sa.Integer(), nullable=True),
        sa.Column("max_wait_time_ms", sa.Integer(), nullable=True),
        sa.Column("enable_dynamic_batching", sa.Boolean(), nullable=True),
        sa.Column("priority_weights", sa.JSON(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch_configuration")),
    )
