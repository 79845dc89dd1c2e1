"""An audit of a live database, in one transaction that changes nothing."""

from datetime import UTC, datetime

import asyncpg

from audit.access import Access
from audit.checks import checks, examine, tell
from audit.finding import CannotLook, Finding, Progress
from audit.policies import read_policies
from audit.probes import probe
from audit.report import Report
from audit.versions import versions

_DATABASE = """
SELECT format('%s on %s', current_database(),
              coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'a local socket'))
"""


async def audit(url: str, access: Access, progress: Progress = lambda _: None) -> Report:
    """Look at a database, as whoever the URL names.

    Args:
        url: of a role that may read the catalogs, which any may.
        progress: is told what is being done.

    Raises:
        CannotLook: when it cannot be reached, or not be looked at.
    """
    findings: list[Finding] = []
    done: dict[str, str] = {}
    try:
        connection = await asyncpg.connect(url, timeout=10, command_timeout=60)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await tell(connection, access)
                for check in checks().values():
                    progress(check.name)
                    findings += await examine(connection, check)
                done["catalog checks"] = str(len(checks()))
                server = await connection.fetchval("SELECT current_setting('server_version')")
                database = await connection.fetchval(_DATABASE)
            found, done["probes"] = await probe(connection, access, progress)
            findings += found
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
        raise CannotLook(f"the database cannot be looked at: {type(error).__name__}: {error}") from None
    return Report(database, server, datetime.now(UTC), access, findings, done, read_policies(), versions(server))
