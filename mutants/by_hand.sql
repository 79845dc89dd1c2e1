-- Weakenings that no file in db/policies/ has a statement for: each is its name, then what is run after a migration.

-- owner logs in
ALTER ROLE todo_owner LOGIN;

-- api is superuser
ALTER ROLE todo_api SUPERUSER;

-- api bypasses RLS
ALTER ROLE todo_api BYPASSRLS;

-- api creates roles
ALTER ROLE todo_api CREATEROLE;

-- api creates databases
ALTER ROLE todo_api CREATEDB;

-- api replicates
ALTER ROLE todo_api REPLICATION;

-- owner bypasses RLS
ALTER ROLE todo_owner BYPASSRLS;

-- api is a member of the owner
GRANT todo_owner TO todo_api;

-- api is a member of pg_read_all_data
GRANT pg_read_all_data TO todo_api;

-- api is a member of pg_write_all_data
GRANT pg_write_all_data TO todo_api;

-- api has a user of its own
ALTER ROLE todo_api SET app.user_id = 'alice';

-- the database has a user of its own
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET app.user_id = ''alice''', current_database()); END $$;

-- api reads without row security
ALTER ROLE todo_api SET row_security = off;

-- api waits for ever
ALTER ROLE todo_api RESET statement_timeout;

-- a view with its owner's rights
CREATE VIEW app.all_tasks AS SELECT * FROM app.tasks;
GRANT SELECT ON app.all_tasks TO todo_api;

-- a view of a superuser
CREATE VIEW public.all_tasks AS SELECT * FROM app.tasks;
GRANT SELECT ON public.all_tasks TO PUBLIC;

-- a materialized view
CREATE MATERIALIZED VIEW app.some_tasks AS SELECT * FROM app.tasks;
GRANT SELECT ON app.some_tasks TO todo_api;

-- a function with its owner's rights
CREATE FUNCTION app.count_tasks() RETURNS bigint LANGUAGE sql SECURITY DEFINER RETURN (SELECT count(*) FROM app.tasks);
GRANT EXECUTE ON FUNCTION app.count_tasks() TO todo_api;

-- a unique title
CREATE UNIQUE INDEX ON app.tasks (title);

-- a unique title constraint
ALTER TABLE app.tasks ADD UNIQUE (title);

-- a child by foreign key
CREATE TABLE app.comments (id uuid, owner_id text, task_id uuid);
ALTER TABLE app.tasks ADD UNIQUE (id);
ALTER TABLE app.comments ADD FOREIGN KEY (task_id) REFERENCES app.tasks (id);
GRANT SELECT, INSERT ON app.comments TO todo_api;

-- a table without policies
CREATE TABLE app.notes (id uuid, owner_id text);
GRANT ALL ON app.notes TO todo_api;

-- an inheritance child
CREATE TABLE app.more_tasks () INHERITS (app.tasks);
GRANT SELECT ON app.more_tasks TO todo_api;

-- a second permissive policy
CREATE POLICY window_ ON app.tasks FOR SELECT TO todo_api USING (true);

-- a policy for PUBLIC
CREATE POLICY window_ ON app.tasks FOR SELECT TO PUBLIC USING (true);
GRANT SELECT ON app.tasks TO PUBLIC;

-- a trigger with its owner's rights
CREATE FUNCTION app.spy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER spy BEFORE INSERT ON app.tasks FOR EACH ROW EXECUTE FUNCTION app.spy();

-- a rule
CREATE RULE also AS ON DELETE TO app.tasks DO ALSO NOTHING;

-- a publication
CREATE PUBLICATION everything FOR TABLE app.tasks;

-- a sequence
CREATE SEQUENCE app.numbers;
GRANT USAGE ON SEQUENCE app.numbers TO todo_api;

-- the schema is open to creation
GRANT CREATE ON SCHEMA app TO todo_api;

-- default privileges for everybody
ALTER DEFAULT PRIVILEGES FOR ROLE todo_owner IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC;

-- api owns the tasks
GRANT CREATE ON SCHEMA app TO todo_api;
ALTER TABLE app.tasks OWNER TO todo_api;

-- MAINTAIN on the tasks
GRANT MAINTAIN ON app.tasks TO todo_api;

-- an index that is not led by the owner
ALTER TABLE app.tasks DROP CONSTRAINT tasks_pkey;
ALTER TABLE app.tasks ADD PRIMARY KEY (id, owner_id);

-- the caller is compared by another operator
CREATE FUNCTION public.same(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT $1 OPERATOR(pg_catalog.=) $2';
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.same);
SET search_path = public, pg_catalog;
CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE SET search_path = ''
RETURN nullif(current_setting('app.user_id', true), '');
RESET search_path;

-- a CHECK that calls a function
CREATE FUNCTION public.seen(text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
ALTER TABLE app.tasks ADD CHECK (public.seen(title));

-- a leakproof function
CREATE FUNCTION public.seen(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 LEAKPROOF AS 'BEGIN RETURN true; END';

-- an event trigger with its owner's rights
CREATE FUNCTION public.logged() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN END';
REVOKE ALL ON FUNCTION public.logged() FROM PUBLIC;
CREATE EVENT TRIGGER logged ON ddl_command_end EXECUTE FUNCTION public.logged();

-- a copy for everybody
CREATE TABLE public.tasks_of_yesterday AS SELECT * FROM app.tasks;
GRANT SELECT ON public.tasks_of_yesterday TO PUBLIC;
