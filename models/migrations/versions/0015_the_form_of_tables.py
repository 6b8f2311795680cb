"""The form in which a job's table came

Only an addition: the release before this one goes on beside it, and a job that it takes has no such row, so
that its results go out in the form that they always had.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "job_table",
        sa.Column("job_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("format", sa.String(length=10), nullable=False),
        sa.Column("form", sa.JSON(), nullable=False),
        sa.Column("rows", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_table_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_table")),
    )
