-- Idempotency keys: which POST of a caller made which task, for 24 hours. Nobody can tell which keys others use.

-- Row-level security decides for everybody, the owner of the table included.
ALTER TABLE app.idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.idempotency_keys FORCE ROW LEVEL SECURITY;

-- The wall: a row is the caller's own or it does not exist. No other policy can widen this one.
DROP POLICY IF EXISTS wall ON app.idempotency_keys;
CREATE POLICY wall ON app.idempotency_keys AS RESTRICTIVE FOR ALL TO PUBLIC
  USING (owner_id = (SELECT app.current_user_id()))
  WITH CHECK (owner_id = (SELECT app.current_user_id()));

-- The door in it: the service reads and writes on behalf of the caller.
DROP POLICY IF EXISTS door ON app.idempotency_keys;
CREATE POLICY door ON app.idempotency_keys AS PERMISSIVE FOR ALL TO todo_api
  USING (owner_id = (SELECT app.current_user_id()))
  WITH CHECK (owner_id = (SELECT app.current_user_id()));

-- Grants to everybody and to the service start from nothing: what is written here is all that they have.
REVOKE ALL ON app.idempotency_keys FROM PUBLIC, todo_api;

-- The service reads every column.
GRANT SELECT (owner_id, key, payload_sha256, task_id, created_at) ON app.idempotency_keys TO todo_api;

-- A caller claims a key. owner_id is never the caller's to choose.
GRANT INSERT (key, payload_sha256) ON app.idempotency_keys TO todo_api;

-- A claimed key is told its task, and one that has expired is claimed anew.
GRANT UPDATE (payload_sha256, task_id, created_at) ON app.idempotency_keys TO todo_api;

-- Expired keys are deleted. TRUNCATE, REFERENCES and TRIGGER pass row-level security by and are never granted.
GRANT DELETE ON app.idempotency_keys TO todo_api;
