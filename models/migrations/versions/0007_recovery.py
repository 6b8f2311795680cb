"""What recovery must know: who is asked alone, what a call carried, who sweeps, who stores

Only additions: the release before this one goes on beside it. What it claims of a conversation has no
`sent_bytes`; its uploads have no lease and are waited for as long as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("record", sa.Column("sent_bytes", sa.BigInteger(), nullable=True))
    op.add_column("record", sa.Column("priced_by", sa.JSON(), nullable=True))
    op.add_column("window", sa.Column("alone", sa.Boolean(), server_default=sa.false(), nullable=False))
