"""Headers that go with a job's calls, and when a job was closed

Only an addition: the release before this one sends no headers of a submitter, and tells no time of closing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_spec", sa.Column("headers", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("job", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
