"""Whether batches for an inference server tune themselves

Only an addition: the release before this one goes on beside it, with sizes and waits as they are configured.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batch_configuration", sa.Column("enable_adaptive_batching", sa.Boolean(), nullable=True))
