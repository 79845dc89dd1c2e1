"""For a pull request or the docs: CommonMark, with the tables of GitHub."""

import re
from collections.abc import Iterator

from audit.finding import Finding
from audit.policies import Policy
from audit.report import Report, visible

# Text here never begins a line, where more would be special. `:` makes a link only before `//`.
_SPECIAL = re.compile(r"[\\`*_\[\]<>|&~$]|:(?=//)")


def render(report: Report) -> str:
    """Write a report as Markdown. What a database holds is shown and never acts: no HTML, no mention."""
    parts = [
        f"# Audit of {_code(report.database)}: {report.verdict}",
        f"PostgreSQL {_text(report.server)}, {report.at:%Y-%m-%d %H:%M} UTC.",
        *_findings(report),
        "## What may be reached",
        *_tables(report),
        "## What was done",
        _table(("what", "how much"), [(_text(name), _text(amount)) for name, amount in report.done.items()]),
        "## Versions",
        _table(("of", "is"), [(_text(name), _code(version)) for name, version in report.versions.items()]),
    ]
    return "\n\n".join(parts)


def _findings(report: Report) -> Iterator[str]:
    if report.findings:
        yield "## Findings"
    for number, finding in enumerate(report.findings, 1):
        yield _finding(number, finding)


def _finding(number: int, finding: Finding) -> str:
    heading = f"### {number}. {_code(finding.object)} {_text(finding.what)}"
    return f"{heading}\n\nFound by {_code(finding.check)}. What mends it:\n\n{_block(finding.mend)}"


def _tables(report: Report) -> Iterator[str]:
    for name, table in report.access.tables.items():
        rows = [
            (
                _code(role),
                grants.rows,
                *(_columns(columns) for columns in (grants.select, grants.insert, grants.update)),
                "whole rows" if grants.delete else "nothing",
            )
            for role, grants in table.access.items()
        ]
        yield f"### {_code(f'app.{name}')}"
        yield f"{_code(table.owner_column)} says whose a row is. No other role but a superuser reaches any."
        yield _table(("role", "rows", "SELECT", "INSERT", "UPDATE", "DELETE"), rows)
        about = [policy for policy in report.policies if policy.on == f"app.{name}"]
        yield "\n".join(f"- {_code(_title(policy))}: {_text(policy.says)}" for policy in about)


def _title(policy: Policy) -> str:
    return f"{'POLICY' if policy.kind == 'policy' else 'GRANT'} {policy.name}"


def _columns(columns: tuple[str, ...]) -> str:
    return ", ".join(map(_code, columns)) or "nothing"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(text: str) -> str:
    # GitHub notifies whom an @ names, unless it is code.
    return _SPECIAL.sub(r"\\\g<0>", visible(text)).replace("@", "`@`")


def _code(text: str) -> str:
    # A pipe ends a cell even within code, unless it is escaped; elsewhere GitHub shows the backslash. Names rarely
    # have one.
    shown = visible(text).replace("|", r"\|")
    fence = "`" * (_longest_run(shown) + 1)
    padding = " " if shown.startswith("`") or shown.endswith("`") or not shown else ""
    return f"{fence}{padding}{shown}{padding}{fence}"


def _block(sql: str) -> str:
    fence = "`" * max(3, _longest_run(sql) + 1)
    return f"{fence}sql\n{sql}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
