-- What: an event trigger whose function runs with its owner's rights, those of extensions apart.
-- Why: nobody needs EXECUTE on it: by a login or a command of anybody's it does what its owner may, as reading every row.
-- Mend: DROP EVENT TRIGGER.

SELECT format('%I', evtname),
       format('calls %s at %s with the rights of %I', evtfoid::regprocedure, evtevent, pg_get_userbyid(proowner)),
       format('DROP EVENT TRIGGER IF EXISTS %I', evtname)
  FROM pg_catalog.pg_event_trigger JOIN pg_catalog.pg_proc ON pg_proc.oid = evtfoid
 WHERE prosecdef
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
                    WHERE classid = 'pg_catalog.pg_event_trigger'::regclass AND objid = pg_event_trigger.oid
                      AND deptype = 'e')
 ORDER BY 1
