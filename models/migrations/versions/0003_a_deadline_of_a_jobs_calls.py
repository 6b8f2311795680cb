"""A deadline of a job's calls

Only an addition: the release before this one gives the calls of every job its own deadline.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_spec", sa.Column("timeout", sa.Integer(), nullable=True))
