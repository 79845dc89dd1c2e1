-- What: a role of db/access.toml that is a member of another, directly or by way of a third.
-- Why: it can then do what that role can, at once or after SET ROLE: as the owner, switch row-level security off.
-- Mend: REVOKE the membership.

WITH RECURSIVE memberships AS (
  SELECT pg_auth_members.roleid, pg_auth_members.member, rolname AS grantor,
         concat_ws(' and ',
           CASE WHEN coalesce((to_jsonb(pg_auth_members) -> 'set_option')::boolean, true) THEN 'can become it' END,
           CASE WHEN coalesce((to_jsonb(pg_auth_members) -> 'inherit_option')::boolean,
                              (SELECT rolinherit FROM pg_catalog.pg_roles WHERE oid = member)) THEN 'inherits from it' END,
           CASE WHEN admin_option THEN 'can grant it' END) AS how
    FROM pg_catalog.pg_auth_members LEFT JOIN pg_catalog.pg_roles ON pg_roles.oid = grantor
),
reached AS (
  SELECT member, roleid AS first, grantor, how, roleid AS reached FROM memberships
   WHERE pg_get_userbyid(member) IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'roles'))
  UNION
  SELECT reached.member, first, reached.grantor, reached.how, memberships.roleid
    FROM reached JOIN memberships ON memberships.member = reached
)
SELECT format('%I', pg_get_userbyid(member)),
       CASE WHEN first = reached
            THEN format('is a member of %I%s', pg_get_userbyid(first), coalesce(', and ' || nullif(how, ''), ''))
            ELSE format('is a member of %I by way of %I', pg_get_userbyid(reached), pg_get_userbyid(first)) END,
       format('REVOKE %I FROM %I%s CASCADE', pg_get_userbyid(first), pg_get_userbyid(member),
              ' GRANTED BY ' || quote_ident(grantor))
  FROM reached
 ORDER BY 1, 2
