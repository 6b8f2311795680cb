"""Why answers ended, which of them do not say what they took, and what a retry asks again

Only additions: the release before this one goes on beside it. The answers that it writes have no reason, and
answers from before have none either. A retry that names what to ask again is understood by this release.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("record_output", sa.Column("stop_reason", sa.String(length=64), nullable=True))
    op.add_column("job_counts", sa.Column("stop_reasons", sa.JSON(), nullable=True))
    op.add_column("job_counts", sa.Column("usage_unknown", sa.Integer(), server_default="0", nullable=False))
    op.add_column("job", sa.Column("reopen_only", sa.JSON(), nullable=True))
