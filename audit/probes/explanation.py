"""What is tried, told from the statements themselves."""

from collections import defaultdict

from audit.access import Table
from audit.finding import Explanation
from audit.probes.statements import NEVER_GRANTED, NEVER_SET, Users, statements, states
from audit.probes.tables import Column, Target


def explanation() -> Explanation:
    return Explanation(
        name="probe",
        what="what a role can do with a row though db/access.toml forbids it, or cannot though it is allowed.",
        why="all that is in force acts together here, and so does what no other check knows of.",
        mend="what the other checks print; where they find nothing, compare \\dp and \\d of the table with db/.",
        how=_how(),
    )


def _how() -> str:
    users = Users("mark")
    whose: dict[str, dict[str, None]] = defaultdict(dict)
    forms: dict[str, dict[str, None]] = defaultdict(dict)
    for state in (NEVER_SET, *states(users)):
        for statement in statements(_any_table(), state, users, plan=""):
            whose[statement.command][statement.whose] = None
            forms[statement.command]["each column" if statement.form.startswith("column ") else statement.form] = None
    said = [f"{command} of {', '.join(whose[command])}:\n  {', '.join(forms[command])}." for command in whose]
    return "\n".join(
        [
            "In a transaction that is rolled back, for two invented users with a row each in every table.",
            "",
            "As every role of db/access.toml, and as one that nothing was granted to (PUBLIC).",
            f"app.user_id: {', '.join(state.name for state in (NEVER_SET, *states(users)))}.",
            *said,
            f"Asked for, and not used, which would lock the table: {', '.join(NEVER_GRANTED)}.",
        ]
    )


def _any_table() -> Target:
    owner, other = (Column(name, "''", required=False, computed=False, in_key=True) for name in ("owner_id", "other"))
    return Target("app.any", Table(owner_column="owner_id", access={}), (owner, other), (other,), other)
