"""With which command a job is paused, and how many of its answers are those of an earlier job

Only additions: the release before this one goes on beside it, and gives neither.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("runs_with", sa.String(64), nullable=True))
    op.add_column("job", sa.Column("reused", sa.Integer(), server_default="0", nullable=False))
