"""Headers that go with a job's calls

Only an addition: the release before this one sends no headers of a submitter.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_spec", sa.Column("headers", sa.JSON(none_as_null=True), nullable=True))
