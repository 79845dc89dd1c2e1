"""Indexes for lists in the order of time, and one idea of letters on every server."""

import sqlalchemy as sa
from alembic import op

revision = "202611211500"
down_revision = "202611210900"
branch_labels = None
depends_on = None

# ILIKE folds case as the collation does, and that of the database may know ASCII alone. This one knows Unicode.
UNICODE = """
DO $do$
BEGIN
  IF current_setting('server_version_num')::int >= 170000 THEN
    CREATE COLLATION app.unicode (provider = builtin, locale = 'C.UTF-8');
  ELSE
    CREATE COLLATION app.unicode (provider = libc, locale = 'C.UTF-8');
  END IF;
END
$do$
"""


def upgrade() -> None:
    op.execute(UNICODE)
    # Titles sort by code point, so that a cursor means the same on every server and after an upgrade of its locales.
    op.alter_column("tasks", "title", type_=sa.Text(collation="C"), schema="app")
    op.create_index("tasks_by_created_at", "tasks", ["owner_id", "created_at", "id"], schema="app")
    op.create_index("tasks_by_updated_at", "tasks", ["owner_id", "updated_at", "id"], schema="app")


def downgrade() -> None:
    op.drop_index("tasks_by_updated_at", "tasks", schema="app")
    op.drop_index("tasks_by_created_at", "tasks", schema="app")
    op.alter_column("tasks", "title", type_=sa.Text(collation="default"), schema="app")
    op.execute("DROP COLLATION app.unicode")
