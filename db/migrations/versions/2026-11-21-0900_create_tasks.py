"""Create the tasks table. Who may do what with it: db/policies/0020_tasks.sql."""

import sqlalchemy as sa
from alembic import op

revision = "202611210900"
down_revision = None
branch_labels = None
depends_on = None

# In any other encoding a character may count for several, and some cannot be stored.
UTF8_ONLY = """
DO $$
BEGIN
  IF current_setting('server_encoding') <> 'UTF8' THEN
    RAISE EXCEPTION 'the database is not in UTF8' USING HINT = 'CREATE DATABASE ... ENCODING ''UTF8''.';
  END IF;
END
$$
"""

# Before Postgres 18: the layout of RFC 9562 §5.7, with microseconds in rand_a (method 3 of §6.2) so that
# ids made in one millisecond still sort by time.
UUIDV7 = """
DO $do$
BEGIN
  IF current_setting('server_version_num')::int >= 180000 THEN
    CREATE FUNCTION app.uuidv7() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE SET search_path = ''
    RETURN uuidv7();
  ELSE
    CREATE FUNCTION app.uuidv7() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE SET search_path = ''
    BEGIN ATOMIC
      SELECT (lpad(to_hex(microseconds / 1000), 12, '0')
              || to_hex(x'7000'::int + mod(microseconds, 1000) * 4096 / 1000)
              || right(gen_random_uuid()::text, 17))::uuid
        FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS clock (microseconds);
    END;
  END IF;
END
$do$
"""

# A clock that stands still or goes back must not make two versions of a task look alike.
ADVANCE_UPDATED_AT = """
CREATE FUNCTION app.advance_updated_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = ''
AS $$
BEGIN
  NEW.updated_at := greatest(clock_timestamp(), OLD.updated_at + interval '1 microsecond');
  RETURN NEW;
END
$$
"""

# At least one character that is no space, control, format or filler character.
TITLE_IS_VISIBLE = (
    r"title ~ '[^\u0001-\u0020\u007F-\u00A0\u00AD\u034F\u061C\u115F\u1160\u1680\u17B4\u17B5\u180B-\u180F"
    r"\u2000-\u200F\u2028-\u202F\u205F-\u206F\u2800\u3000\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFFB]'"
)


def upgrade() -> None:
    op.execute(UTF8_ONLY)
    op.execute(UUIDV7)
    op.execute(ADVANCE_UPDATED_AT)
    op.create_table(
        "tasks",
        sa.Column("owner_id", sa.Text, nullable=False, server_default=sa.text("app.current_user_id()")),
        sa.Column("id", sa.Uuid, nullable=False, server_default=sa.text("app.uuidv7()")),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=True),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'Todo'")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("owner_id", "id", name="tasks_pkey"),
        sa.CheckConstraint("owner_id <> ''", name="tasks_owner_id_check"),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 255", name="tasks_title_length_check"),
        sa.CheckConstraint(sa.text(TITLE_IS_VISIBLE), name="tasks_title_visible_check"),
        sa.CheckConstraint("char_length(description) <= 10000", name="tasks_description_check"),
        sa.CheckConstraint("status IN ('Todo', 'InProgress', 'Done')", name="tasks_status_check"),
        schema="app",
    )
    op.execute(
        "CREATE TRIGGER advance_updated_at BEFORE UPDATE ON app.tasks "
        "FOR EACH ROW EXECUTE FUNCTION app.advance_updated_at()"
    )


def downgrade() -> None:
    op.drop_table("tasks", schema="app")
    op.execute("DROP FUNCTION app.advance_updated_at()")
    op.execute("DROP FUNCTION app.uuidv7()")
