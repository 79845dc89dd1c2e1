"""An audit of a live database, which changes nothing: catalog checks, drift, a proof, and live probes."""

from datetime import UTC, datetime

import asyncpg

from audit.access import Access
from audit.checks import checks, examine, tell
from audit.connection import cannot_look, connect
from audit.drift import drift
from audit.finding import Finding, Progress
from audit.pgrls import prove
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
        url: of the role that migrates: drift is found by applying db/policies/ and rolling back.
        progress: is told what is being done.

    Raises:
        CannotLook: when it cannot be reached, or not be looked at.
    """
    findings: list[Finding] = []
    done: dict[str, str] = {}
    try:
        progress("connecting")
        connection = await connect(url)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await tell(connection, access)
                for number, check in enumerate(checks().values(), 1):
                    progress(f"[{number}/{len(checks())}] {check.name}")
                    findings += await examine(connection, check)
                done["catalog checks"] = str(len(checks()))
                server = await connection.fetchval("SELECT current_setting('server_version')")
                database = await connection.fetchval(_DATABASE)
            drifted, done["drift"] = await drift(connection, progress)
            proven, done["pgrls"] = await prove(url, access, progress)
            probed, done["probes"] = await probe(connection, access, progress)
            findings += drifted + proven + probed
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
        raise cannot_look(error, url) from None
    return Report(database, server, datetime.now(UTC), access, findings, done, read_policies(), versions(server))
