"""Labels, operations and concurrency of a job's own

Only additions: the release before this one goes on beside it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LABELLED = sa.text("label IS NOT NULL")


def upgrade() -> None:
    op.add_column("job", sa.Column("max_concurrent", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("label", sa.String(length=128), nullable=True))
    op.add_column("job", sa.Column("request_id", sa.String(length=128), nullable=True))
    op.add_column("job", sa.Column("status_kept_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("job_spec", sa.Column("operations", sa.LargeBinary(), nullable=True))
    # Of a table with one row a job: built in the blink of an eye, so not CONCURRENTLY.
    op.create_index(
        "ix_job_label",
        "job",
        ["tenant_id", "label", "uid"],
        unique=False,
        postgresql_where=LABELLED,
        sqlite_where=LABELLED,
    )
