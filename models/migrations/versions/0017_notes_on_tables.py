"""What a job's owner should know of how its table was read

Only an addition: the release before this one goes on beside it, and its jobs have no notes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_spec", sa.Column("notes", sa.JSON(), nullable=True))
