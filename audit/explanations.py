"""What stands behind every name that a finding can have, told in one place for all formats and for `--explain`."""

from functools import cache

from audit import drift, pgrls
from audit.checks import checks
from audit.finding import Explanation
from audit.probes import explanation as probe


@cache
def explanations() -> dict[str, Explanation]:
    """All of them, by their names, in the order in which an audit looks."""
    parts = (drift.explanation(), pgrls.explanation(), probe.explanation())
    return checks() | {part.name: part for part in parts}
