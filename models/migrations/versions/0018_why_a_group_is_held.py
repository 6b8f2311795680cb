"""Why a group is held, in a sentence for people

Only an addition: the release before this one stores and reads the reason's word alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("limit_group", sa.Column("held_detail", sa.Text(), nullable=True))
