"""For programs: everything that the report holds, under names that stay."""

import json
from dataclasses import asdict
from typing import Any

from audit.report import Report

FORMAT = 1


def render(report: Report) -> str:
    """Write a report as one JSON object.

    Returns:
        An object with these members, all of them always there. More may come; none goes or changes its meaning
        without another number in `format`.

        - `format`: 1.
        - `verdict`: `"clean"` or `"findings"`.
        - `database`, `server`: which one was looked at, and its version of Postgres.
        - `at`: when, by RFC 3339, in UTC.
        - `findings`: a list of `check`, `object`, `what`, `mend`, each of them a string.
        - `done`: what was done, and how much of it: an object of strings.
        - `policies`: a list of what db/policies/ holds: `file`, `line`, `kind` (`"policy"` or `"grant"`), `name`,
          `on`, `says` (plain English), `sql`.
        - `versions`: of the tools, and `"sha256:…"` of each file that was judged by: an object of strings.
    """
    return json.dumps(_document(report), ensure_ascii=False, indent=2)


def _document(report: Report) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "verdict": "findings" if report.findings else "clean",
        "database": report.database,
        "server": report.server,
        "at": report.at.isoformat(timespec="seconds"),
        "findings": [asdict(finding) for finding in report.findings],
        "done": report.done,
        "policies": [asdict(policy) for policy in report.policies],
        "versions": report.versions,
    }
