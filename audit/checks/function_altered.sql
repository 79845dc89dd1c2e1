-- What: app.uuidv7() or app.advance_updated_at() that is missing, or is not exactly what db/migrations/ makes.
-- Why: they run within the statements of every caller, with the caller's rights: what somebody adds to them sees and
--   changes each row that is written.
-- Mend: CREATE OR REPLACE FUNCTION, as db/migrations/ has it.

WITH expected (signature, returns, language, parallel, bodies, written) AS (
  VALUES
    ('app.advance_updated_at()', 'trigger', 'plpgsql', 'u', ARRAY[
       'BEGIN NEW.updated_at := greatest(clock_timestamp(), OLD.updated_at + interval ''1 microsecond''); RETURN NEW; END'],
     'LANGUAGE plpgsql VOLATILE SET search_path = '''' AS $$ BEGIN NEW.updated_at := greatest(clock_timestamp(), '
     'OLD.updated_at + interval ''1 microsecond''); RETURN NEW; END $$'),
    -- A database that was made before Postgres 18 keeps the second body when its server is upgraded.
    ('app.uuidv7()', 'uuid', 'sql', 's', ARRAY[
       'RETURN uuidv7()',
       'BEGIN ATOMIC SELECT (((lpad(to_hex((clock.microseconds / 1000)), 12, ''0''::text) '
       '|| to_hex(((''0111000000000000''::"bit")::integer + ((mod(clock.microseconds, (1000)::bigint) * 4096) / 1000)))) '
       '|| "right"((gen_random_uuid())::text, 17)))::uuid AS uuid FROM ( SELECT ((EXTRACT(epoch FROM clock_timestamp()) '
       '* (1000000)::numeric))::bigint AS int8) clock(microseconds); END'],
     'LANGUAGE sql VOLATILE PARALLEL SAFE SET search_path = '''' ' ||
     CASE WHEN to_regprocedure('pg_catalog.uuidv7()') IS NOT NULL THEN 'RETURN uuidv7()'
          ELSE 'BEGIN ATOMIC SELECT (lpad(to_hex(microseconds / 1000), 12, ''0'') || to_hex(x''7000''::int '
               '+ mod(microseconds, 1000) * 4096 / 1000) || right(gen_random_uuid()::text, 17))::uuid '
               'FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS clock (microseconds); END' END)
)
SELECT signature,
       CASE WHEN pg_proc.oid IS NULL THEN format('does not exist, or is no function that returns %s', returns)
            WHEN prosecdef THEN 'runs with the rights of its owner'
            WHEN body <> ALL (bodies) THEN format('does otherwise: %s', left(body, 500))
            WHEN (lanname, provolatile, proparallel) IS DISTINCT FROM (language, 'v'::"char", parallel::"char")
            THEN 'is in another language, or not VOLATILE, or promises more of parallel plans'
            WHEN proconfig IS DISTINCT FROM '{"search_path=\"\""}' THEN 'has other settings than search_path = '''''
            ELSE 'is strict, or said to be leakproof, or has a support function' END,
       -- Nothing can use what is not there, and what used it was dropped with it.
       CASE WHEN pg_proc.oid IS NULL
            THEN '-- Make it anew, and the trigger or the default that calls it, as db/migrations/versions/ has them.'
            ELSE format('CREATE OR REPLACE FUNCTION %s RETURNS %s %s', signature, returns, written) END
  FROM expected
  LEFT JOIN pg_catalog.pg_proc ON pg_proc.oid = to_regprocedure(signature)
                                  AND prorettype = returns::regtype AND prokind = 'f' AND NOT proretset
  LEFT JOIN pg_catalog.pg_language ON pg_language.oid = prolang,
       LATERAL (SELECT btrim(regexp_replace(coalesce(pg_get_function_sqlbody(pg_proc.oid), prosrc), '\s+', ' ', 'g')))
               AS said (body)
 WHERE (NOT prosecdef AND NOT proleakproof AND NOT proisstrict AND prosupport::oid = 0
        AND lanname = language AND provolatile = 'v' AND proparallel = parallel::"char"
        AND proconfig = '{"search_path=\"\""}' AND body = ANY (bodies)) IS NOT TRUE
 ORDER BY 1
