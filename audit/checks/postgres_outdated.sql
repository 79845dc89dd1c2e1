-- What: a Postgres whose minor version has a known fault of row-level security, or that is older than 15.
-- Why: what is right in the catalogs does not hold there: rows can be seen or told in spite of their policies.
-- Mend: install the newest minor version of the same Postgres.

SELECT format('Postgres %s', current_setting('server_version')),
       CASE WHEN major < 15 THEN 'is older than this product has been tried on'
            ELSE format('has %s', string_agg(cve, ', ' ORDER BY mended, cve)) END,
       CASE WHEN major < 15 THEN '-- Install Postgres 15 or newer.'
            ELSE format('-- Install Postgres %s.%s or newer.', major, max(mended)) END
  FROM (SELECT version / 10000 AS major, version % 10000 AS minor
          FROM CAST(current_setting('server_version_num') AS integer) AS version) AS server
  LEFT JOIN (VALUES
         ('CVE-2023-2455', 15, 3),
         ('CVE-2023-39418', 15, 4),
         ('CVE-2024-4317', 15, 7), ('CVE-2024-4317', 16, 3),
         ('CVE-2024-10976', 15, 9), ('CVE-2024-10976', 16, 5), ('CVE-2024-10976', 17, 1),
         ('CVE-2024-10978', 15, 9), ('CVE-2024-10978', 16, 5), ('CVE-2024-10978', 17, 1),
         ('CVE-2025-8713', 15, 14), ('CVE-2025-8713', 16, 10), ('CVE-2025-8713', 17, 6)
       ) AS faults (cve, of, mended) ON of = major AND minor < mended
 WHERE major < 15 OR cve IS NOT NULL
 GROUP BY major
