-- Who is asking: the one thing that every policy knows of a request.

-- The caller, or NULL when no caller is set. A pooled connection that served someone before holds ''.
CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = ''
RETURN nullif(current_setting('app.user_id', true), '');

-- The service asks; nobody else needs to.
REVOKE ALL ON FUNCTION app.current_user_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.current_user_id() TO todo_api;
