"""What a provider keeps of a job's requests, and what that has saved

Only additions: the release before this one goes on beside it, asks no provider to keep anything, and counts
nothing as saved.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_spec", sa.Column("shared_input", sa.JSON(), nullable=True))
    op.add_column("job_spec", sa.Column("prompt_cache", sa.Boolean(), nullable=True))
    op.add_column("job", sa.Column("keep", sa.String(4), nullable=True))
    op.add_column("window", sa.Column("primes", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("attempt", sa.Column("cache_saved", sa.BigInteger(), nullable=True))
    op.add_column("job_counts", sa.Column("cache_saved", sa.BigInteger(), nullable=False, server_default="0"))
