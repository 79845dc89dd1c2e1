"""What the catalogs say of the product's schema and roles, in a form that two databases can be compared by."""

import asyncpg

from audit.catalog import FACTS

QUERIES = {
    **FACTS,
    "columns": """
        SELECT attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod), attnotnull,
               pg_get_expr(adbin, adrelid), attcollation::regcollation
          FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
          JOIN pg_class ON pg_class.oid = attrelid
         WHERE relnamespace = 'app'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped""",
    "constraints": """
        SELECT conrelid::regclass, conname, pg_get_constraintdef(oid)
          FROM pg_constraint WHERE connamespace = 'app'::regnamespace""",
    "collations": """
        SELECT collname, collprovider, collcollate, collowner::regrole
          FROM pg_collation WHERE collnamespace = 'app'::regnamespace""",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'app'",
    "triggers": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    # But for those that tests/security/test_guard.py grants meanwhile, in another process.
    "memberships": FACTS["memberships"] + r" AND member.rolname NOT LIKE 'role\_%'",
}


async def catalog(url: str) -> dict[str, list[str]]:
    connection = await asyncpg.connect(url)
    try:
        return {
            name: sorted(str([str(value) for value in row]) for row in await connection.fetch(query))
            for name, query in QUERIES.items()
        }
    finally:
        await connection.close()
