"""For a terminal: a line for each finding, with its mend below it."""

from audit.report import Report


def render(report: Report) -> str:
    """The findings, and what was done to look for them."""
    lines = [f"{finding.check}: {finding.object} {finding.what}\n    {finding.mend}" for finding in report.findings]
    done = ", ".join(f"{name}: {amount}" for name, amount in report.done.items())
    verdict = f"{len(report.findings)} findings" if report.findings else "no finding"
    return "\n".join([*lines, f"{report.database}: {verdict} ({done})"])
