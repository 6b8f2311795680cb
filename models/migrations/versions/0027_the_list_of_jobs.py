"""What a search of jobs looks through, how many of their records failed, and indices of what is in a list

Only additions: the release before this one goes on beside it. A job that it makes, or renames, is searched by
its name as it is, or as it was; of one that it ends the failures are read from its counts.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("search_text", sa.Text(), nullable=True))
    op.add_column("job", sa.Column("failures", sa.Integer(), nullable=True))
    listed = sa.text("attended IS NULL AND deleted_at IS NULL")
    # Of a table with one row a job: built in the blink of an eye, so not CONCURRENTLY.
    for name, columns in (
        ("ix_job_listed", ["tenant_id", "uid", "status", "failures"]),
        ("ix_job_listed_by_status", ["tenant_id", "status", "uid"]),
    ):
        op.create_index(name, "job", columns, postgresql_where=listed, sqlite_where=listed)
