"""Create the table of idempotency keys. Who may do what with it: db/policies/0030_idempotency_keys.sql."""

import sqlalchemy as sa
from alembic import op

revision = "202611211510"
down_revision = "202611211500"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("owner_id", sa.Text, nullable=False, server_default=sa.text("app.current_user_id()")),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("payload_sha256", sa.LargeBinary, nullable=False),
        # Which task it made. No foreign key: the task may be deleted, and the key still tells of it.
        sa.Column("task_id", sa.Uuid, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("owner_id", "key", name="idempotency_keys_pkey"),
        sa.CheckConstraint("owner_id <> ''", name="idempotency_keys_owner_id_check"),
        sa.CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="idempotency_keys_key_check"),
        sa.CheckConstraint("octet_length(payload_sha256) = 32", name="idempotency_keys_payload_sha256_check"),
        schema="app",
    )
    op.create_index("idempotency_keys_by_created_at", "idempotency_keys", ["owner_id", "created_at"], schema="app")


def downgrade() -> None:
    op.drop_table("idempotency_keys", schema="app")
