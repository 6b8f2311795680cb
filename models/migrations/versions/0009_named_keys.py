"""Keys that are made once, however often the call is sent

Only an addition: the release before this one goes on beside it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_key", sa.Column("salt", sa.LargeBinary(length=32), nullable=True))
