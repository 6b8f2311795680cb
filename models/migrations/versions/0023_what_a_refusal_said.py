"""What a provider said when it refused, uploads that are sent again, and batches of two kinds of lines

Only additions: the release before this one goes on beside it, and what it writes has none of these.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("record_output", sa.Column("error_body", sa.LargeBinary(), nullable=True))
    op.add_column("file_batch", sa.Column("mixed", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("file", sa.Column("repeat_key", sa.String(length=255), nullable=True))
    op.add_column("file", sa.Column("fingerprint", sa.String(length=64), nullable=True))
    op.create_index("uq_file_tenant_id_repeat_key", "file", ["tenant_id", "repeat_key"], unique=True)
