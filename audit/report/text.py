"""For a terminal: a line for each finding with its mend below it, then a line with the verdict and what was done."""

from textwrap import indent

from audit.finding import Finding
from audit.report import Report, visible


def render(report: Report) -> str:
    """Write a report for a terminal, on which nothing that a database holds may act."""
    done = ", ".join(f"{name}: {amount}" for name, amount in report.done.items())
    said = f" ({done})" if done else ""
    return "\n".join([*map(_finding, report.findings), f"{visible(report.database)}: {report.verdict}{said}"])


def _finding(finding: Finding) -> str:
    line = visible(f"{finding.check}: {finding.object} {finding.what}")
    mend = indent(visible(finding.mend, keep="\n\t"), "    ")
    return f"{line}\n{mend}"
