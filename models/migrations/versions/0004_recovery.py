"""What recovery must know: who is asked alone, what a call carried, who sweeps, who stores

Only additions: the release before this one goes on beside it. What it claims of a conversation has no
`sent_bytes`; its uploads have no lease and are waited for as long as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("record", sa.Column("sent_bytes", sa.BigInteger(), nullable=True))
    op.add_column("record", sa.Column("priced_by", sa.JSON(), nullable=True))
    op.add_column("job", sa.Column("lease_id", sa.BigInteger(), nullable=True))
    op.create_table(
        "sweep",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("swept_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stand_in", sa.String(length=300), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweep")),
    )
    op.execute("INSERT INTO sweep (id, swept_at) VALUES (1, CURRENT_TIMESTAMP)")
    op.add_column("window", sa.Column("alone", sa.Boolean(), server_default=sa.false(), nullable=False))
