"""How many records of a job failed, by the type of their error

Only an addition: the release before this one goes on beside it, and what fails there has no count. The errors
of a job whose counts do not add up are read from its rows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_counts", sa.Column("error_types", sa.JSON(), nullable=True))
