"""Who waits for a thread of a slice worker, and how many threads a worker has

Only additions: the release before this one goes on beside it. Its workers' leases have no `threads`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lease", sa.Column("threads", sa.Integer(), nullable=True))
    op.add_column("job_counts", sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True))
    # Of a table with one row a job: built in the blink of an eye, so not CONCURRENTLY.
    op.create_index(
        "ix_job_counts_queued",
        "job_counts",
        ["queued_at"],
        postgresql_where=sa.text("queued_at IS NOT NULL"),
        sqlite_where=sa.text("queued_at IS NOT NULL"),
    )
