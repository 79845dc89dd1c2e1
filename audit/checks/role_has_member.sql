-- What: a role that is a member of one of db/access.toml, and neither a superuser nor whoever migrates: a role with
--   CREATEROLE, which is a member of todo_owner by design, and elsewhere may grant but neither use nor become the role.
-- Why: it acts for any user by setting app.user_id, or, as the owner, switches row-level security off.
-- Mend: REVOKE the membership.

WITH RECURSIVE memberships AS (
  SELECT roleid, member, rolcreaterole, grantor,
         rolsuper OR rolcreaterole AND (
           pg_get_userbyid(roleid) = 'todo_owner'
           OR NOT coalesce((to_jsonb(pg_auth_members) -> 'set_option')::boolean, true)
              AND NOT coalesce((to_jsonb(pg_auth_members) -> 'inherit_option')::boolean, true)) AS by_design
    FROM pg_catalog.pg_auth_members JOIN pg_catalog.pg_roles ON pg_roles.oid = member
),
reached AS (
  SELECT memberships.*, roleid AS target FROM memberships
   WHERE pg_get_userbyid(roleid) IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'roles'))
  UNION
  -- A superuser's members are left out: they are superusers in effect, and none of this product's.
  SELECT memberships.*, target FROM reached JOIN memberships ON memberships.roleid = reached.member
   WHERE reached.by_design AND reached.rolcreaterole
)
SELECT format('%I', pg_get_userbyid(member)),
       format('is a member of %I%s', pg_get_userbyid(target),
              CASE WHEN target <> roleid THEN format(' by way of %I', pg_get_userbyid(roleid)) END),
       format('REVOKE %I FROM %I%s CASCADE', pg_get_userbyid(roleid), pg_get_userbyid(member),
              ' GRANTED BY ' || (SELECT quote_ident(rolname) FROM pg_catalog.pg_roles WHERE oid = grantor))
  FROM reached
 WHERE NOT by_design
   AND pg_get_userbyid(member) NOT IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'roles'))
 ORDER BY 1, 2
