"""Jobs of one record whose caller waits for the answer

Only an addition: to the release before this one such a job is like any other.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("attended", sa.String(8), nullable=True))
