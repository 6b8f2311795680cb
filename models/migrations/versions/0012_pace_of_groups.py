"""Groups whose provider takes calls only at a pace

Only an addition: the release before this one paces every call.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("limit_group", sa.Column("paced_until", sa.DateTime(timezone=True), nullable=True))
