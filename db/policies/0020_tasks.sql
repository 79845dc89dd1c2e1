-- Tasks: a caller sees and changes their own, and cannot tell that there are others.

-- Row-level security decides for everybody, the owner of the table included.
ALTER TABLE app.tasks ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.tasks FORCE ROW LEVEL SECURITY;

-- The wall: a row is the caller's own or it does not exist. No other policy can widen this one.
DROP POLICY IF EXISTS wall ON app.tasks;
CREATE POLICY wall ON app.tasks AS RESTRICTIVE FOR ALL TO PUBLIC
  USING (owner_id = (SELECT app.current_user_id()))
  WITH CHECK (owner_id = (SELECT app.current_user_id()));

-- The door in it: the service reads and writes on behalf of the caller.
DROP POLICY IF EXISTS door ON app.tasks;
CREATE POLICY door ON app.tasks AS PERMISSIVE FOR ALL TO todo_api
  USING (owner_id = (SELECT app.current_user_id()))
  WITH CHECK (owner_id = (SELECT app.current_user_id()));

-- Grants to everybody and to the service start from nothing: what is written here is all that they have.
REVOKE ALL ON app.tasks FROM PUBLIC, todo_api;

-- The service reads every column.
GRANT SELECT (owner_id, id, title, description, status, created_at, updated_at) ON app.tasks TO todo_api;

-- A caller writes only these columns. The database fills in the others; owner_id is never the caller's to choose.
GRANT INSERT (title, description, status) ON app.tasks TO todo_api;
GRANT UPDATE (title, description, status) ON app.tasks TO todo_api;

-- A caller deletes whole rows. TRUNCATE, REFERENCES and TRIGGER pass row-level security by and are never granted.
GRANT DELETE ON app.tasks TO todo_api;

-- A new task takes its id from this function.
REVOKE ALL ON FUNCTION app.uuidv7() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.uuidv7() TO todo_api;
