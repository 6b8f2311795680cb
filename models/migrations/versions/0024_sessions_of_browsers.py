"""Sessions of browsers

Only an addition: the release before this one goes on beside it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "browser_session",
        sa.Column("token_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("is_invitation", sa.Boolean(), nullable=False),
        sa.Column("key_id", BIG_ID, nullable=True),
        sa.Column("key_sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("notice", sa.Text(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_browser_session_key_id")),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_browser_session")),
    )
    op.create_index("ix_browser_session_key_id", "browser_session", ["key_id"])
    op.create_index("ix_browser_session_expires_at", "browser_session", ["expires_at"])
