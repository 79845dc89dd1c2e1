"""For a terminal: a line for each finding with its mend below it, then a line with the verdict and what was done.

Findings in a row that one mend is for have it once, below the last.
"""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from textwrap import indent

from audit.finding import Finding
from audit.report import Report, visible


def render(report: Report) -> str:
    """Write a report for a terminal, on which nothing that a database holds may act."""
    done = ", ".join(f"{name}: {amount}" for name, amount in report.done.items())
    said = f" ({done})" if done else ""
    return "\n".join([*_findings(report.findings), f"{visible(report.database)}: {report.verdict}{said}"])


def _findings(findings: list[Finding]) -> Iterator[str]:
    for mend, mended in groupby(findings, attrgetter("mend")):
        for finding in mended:
            yield visible(f"{finding.check}: {finding.object} {finding.what}")
        yield indent(visible(mend, keep="\n\t"), "    ")
