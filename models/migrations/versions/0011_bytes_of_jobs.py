"""Quotas of bytes beside those of records

Only additions: the release before this one goes on beside it, and its jobs count as empty.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("content_bytes", sa.BigInteger(), nullable=True))
    op.add_column("tenant", sa.Column("bytes_per_hour", sa.BigInteger(), nullable=True))
    op.add_column("tenant", sa.Column("bytes_per_day", sa.BigInteger(), nullable=True))
