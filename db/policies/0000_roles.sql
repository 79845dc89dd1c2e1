-- Roles, and what they may never be. Run by whoever migrates: a superuser, or a role with CREATEROLE
-- that may create schemas in this database (on Neon: neondb_owner).

-- The owner of every object. Nobody logs in as the owner.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'todo_owner') THEN
    CREATE ROLE todo_owner NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION;
  END IF;
-- Roles belong to the whole cluster: another database may be making this one at the same moment.
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

-- What the service connects as. It owns nothing and is a member of nothing.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'todo_api') THEN
    CREATE ROLE todo_api LOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

-- A role of that name that was made elsewhere is refused, not mended: somebody relies on what it can do.
DO $$
DECLARE
  fault text;
BEGIN
  SELECT pg_catalog.format('role %I is a superuser, bypasses RLS, creates roles or databases, or replicates', rolname)
    INTO fault
    FROM pg_catalog.pg_roles
   WHERE rolname IN ('todo_owner', 'todo_api')
     AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication);
  IF FOUND THEN
    RAISE EXCEPTION '%', fault USING HINT = 'On Neon, create roles in SQL: those of the console bypass RLS.';
  END IF;

  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'todo_owner' AND rolcanlogin) THEN
    RAISE EXCEPTION 'role todo_owner can log in' USING HINT = 'ALTER ROLE todo_owner NOLOGIN.';
  END IF;

  SELECT pg_catalog.format('role %I is a member of %I', member.rolname, granted.rolname)
    INTO fault
    FROM pg_catalog.pg_auth_members membership
    JOIN pg_catalog.pg_roles granted ON granted.oid = membership.roleid
    JOIN pg_catalog.pg_roles member ON member.oid = membership.member
   WHERE member.rolname IN ('todo_owner', 'todo_api');
  IF FOUND THEN
    RAISE EXCEPTION '%', fault USING HINT = 'REVOKE that membership: both are members of nothing.';
  END IF;
END
$$;

-- No statement of a request outlives the request, and no lock waits for long. Names without a schema are Postgres's own:
-- an operator that somebody makes in `public` is never taken for one of them. Written only where it is not so yet: two
-- databases of one cluster that write the same role at the same time fail.
DO $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM pg_catalog.pg_roles
     WHERE rolname = 'todo_api'
       AND rolconfig @> '{statement_timeout=5s, lock_timeout=2s, idle_in_transaction_session_timeout=10s, "search_path=\"\""}'
  ) THEN
    ALTER ROLE todo_api SET statement_timeout = '5s';
    ALTER ROLE todo_api SET lock_timeout = '2s';
    ALTER ROLE todo_api SET idle_in_transaction_session_timeout = '10s';
    ALTER ROLE todo_api SET search_path = '';
  END IF;
END
$$;

-- Whoever migrates acts as the owner from here on, so that everything made belongs to the owner.
DO $$
BEGIN
  IF NOT pg_catalog.pg_has_role(current_user, 'todo_owner', 'USAGE') THEN
    EXECUTE pg_catalog.format('GRANT todo_owner TO %I', current_user);
  END IF;
END
$$;

-- `app` holds what the service uses, `alembic` the number of the newest migration.
CREATE SCHEMA IF NOT EXISTS app AUTHORIZATION todo_owner;
CREATE SCHEMA IF NOT EXISTS alembic AUTHORIZATION todo_owner;

SET LOCAL ROLE todo_owner;

-- Functions are for those they are granted to, not for everybody.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- The service may look up names in `app`; what it may do with them, each table's file says.
GRANT USAGE ON SCHEMA app TO todo_api;
