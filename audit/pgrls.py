"""pgrls: a second opinion by other people's rules, and a proof of the policies by Z3."""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from audit.access import Access
from audit.connection import libpq_environment
from audit.finding import MIGRATE, CannotLook, Explanation, Finding, Progress, in_words

SUPPRESSED = Path(__file__).with_name("pgrls.toml")
NOT_INSTALLED = "not installed (pip install todo-api[audit])"

# Modes that look at every table, then those that look only at what may be a way around.
_OF_EVERY_TABLE = ("anon", "cross-tenant", "write")
_WAYS_AROUND = ("escalation", "reachability")

# Without a schema it looks at `public`, where there is nothing to find.
_COMMON = ("--schemas", "app", "--config", str(SUPPRESSED), "--format", "json")
_SECONDS = 120


def version() -> str | None:
    """That of pgrls, if it is installed."""
    try:
        return metadata.version("pgrls")
    except metadata.PackageNotFoundError:
        return None


async def prove(url: str, access: Access, progress: Progress) -> tuple[list[Finding], str]:
    """Run `pgrls lint` and each mode of `pgrls verify` on schema `app`. Whatever is not PROVEN is a finding.

    Args:
        url: of a role that may read the catalogs. Other processes are told of it by their environment.
        access: says which tables there are to prove.
        progress: is told what is being done.

    Returns:
        The findings, and what was done, for `Report.done`.

    Raises:
        CannotLook: when pgrls fails.
    """
    found = version()
    if found is None:
        return [], NOT_INSTALLED
    progress("pgrls")
    modes = (*_OF_EVERY_TABLE, *_WAYS_AROUND)
    lint, *verified = await _all(
        _pgrls(url, "lint", *_COMMON),
        *(_pgrls(url, "verify", "--mode", mode, "--auth-function", "app.current_user_id", *_COMMON) for mode in modes),
    )
    findings = list(_of_lint(lint))
    for mode, proof in zip(modes, verified, strict=True):
        findings += _of_proof(mode, proof)
        if mode in _OF_EVERY_TABLE:
            findings += _not_seen(mode, proof, access)
    return findings, f"{found}, lint and {', '.join(modes)}"


async def _all(*runs: Coroutine[Any, Any, dict[str, Any]]) -> list[dict[str, Any]]:
    """At once, and none is left running when another fails."""
    done = await asyncio.gather(*runs, return_exceptions=True)
    for failed in (said for said in done if isinstance(said, BaseException)):
        raise failed
    return [said for said in done if not isinstance(said, BaseException)]


def _of_lint(lint: dict[str, Any]) -> Iterator[Finding]:
    for violation in lint["violations"]:
        rule = violation["rule_id"]
        what = f"breaks {rule}: {violation['title']}"
        yield Finding(
            "pgrls", violation.get("location") or "schema app", what, in_words(f"In a shell: pgrls explain {rule}")
        )


def _of_proof(mode: str, proof: dict[str, Any]) -> Iterator[Finding]:
    for table in proof["tables"]:
        if table["verdict"] != "isolated":
            why = "; ".join(filter(None, (table.get("note"), *map(_of_policy, table.get("policies") or ()))))
            what = f"is not PROVEN but {table['verdict'].upper()} in mode {mode}" + (f": {why}" if why else "")
            mend = in_words("In a shell: todo-api migrate. Then drop what leads around the policies.")
            yield Finding("pgrls", table["table"], what, mend)


def _of_policy(policy: dict[str, Any]) -> str:
    """Why it is not proven, or a row that leaks where it is disproven."""
    said = policy.get("reason")
    if policy["verdict"] == "leak":
        said = f"leaks {json.dumps(policy.get('witness') or policy.get('witness_scope'))}"
    return f"{policy['policy']}: {said}" if said else ""


def _not_seen(mode: str, proof: dict[str, Any], access: Access) -> Iterator[Finding]:
    """Nothing found in a table that was not looked at is no proof."""
    seen = {table["table"] for table in proof["tables"]}
    for table in sorted({f"app.{name}" for name in access.tables} - seen):
        yield Finding("pgrls", table, f"is not among the tables that mode {mode} looked at", MIGRATE)


async def _pgrls(url: str, *arguments: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "pgrls", *arguments),
        env={**os.environ, **libpq_environment(url)},  # not among the arguments, which everybody on the machine sees
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(), _SECONDS)
        said: dict[str, Any] = json.loads(stdout)
    except TimeoutError:
        raise CannotLook(f"pgrls {arguments[0]} was not done within {_SECONDS} s") from None
    except ValueError:
        # libpq quotes neither the URL nor a password.
        why = " ".join(stderr.decode(errors="replace").rpartition("Error: ")[2].split())
        raise CannotLook(f"pgrls {arguments[0]} failed: {why or 'it said nothing'}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return said


def explanation() -> Explanation:
    return Explanation(
        name="pgrls",
        what="a rule of pgrls that is broken, or a table of schema app that pgrls does not prove to be isolated.",
        why="other people wrote these rules, and Z3 looks at all values there are, where a probe tries some.",
        mend="what the other checks print mends most of it; pgrls explain RULE, in a shell, tells of a rule.",
        how=f"On schema app: pgrls lint, and pgrls verify in the modes {', '.join(_OF_EVERY_TABLE + _WAYS_AROUND)}.\n\n"
        + SUPPRESSED.read_text().strip(),
    )
