"""The names of the prompts that each row of a job is asked

Only an addition: the release before this one makes no such jobs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_spec", sa.Column("asks", sa.JSON(), nullable=True))
