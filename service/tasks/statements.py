"""What is asked of Postgres about tasks: SQLModel statements, built once, that return what answers need.

None names a user. Which rows there are, db/policies/0020_tasks.sql decides.
"""

from functools import cache
from typing import Any

from sqlalchemy import Executable, bindparam, delete, insert, update
from sqlmodel import col, select

from service.tasks.models import Task, TaskRead, TaskReplace

_COLUMNS: Any = [getattr(Task, name) for name in TaskRead.model_fields]
_THIS_ONE = col(Task.id) == bindparam("task_id")

# Ids grow with time, and the primary key is in their order.
LIST = select(*_COLUMNS).order_by(col(Task.id).desc()).limit(bindparam("limit")).offset(bindparam("skip"))

GET = select(*_COLUMNS).where(_THIS_ONE)

CREATE = insert(Task).values({name: bindparam(f"new_{name}") for name in TaskReplace.model_fields}).returning(*_COLUMNS)

DELETE = delete(Task).where(_THIS_ONE).returning(col(Task.id))


@cache
def update_of(fields: frozenset[str]) -> Executable:
    """UPDATE of these columns of one task. There are seven such sets, so seven statements."""
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in sorted(fields)}
    return update(Task).where(_THIS_ONE).values(values).returning(*_COLUMNS)


def new(values: dict[str, Any]) -> dict[str, Any]:
    """Bind parameters for CREATE and update_of."""
    return {f"new_{name}": value for name, value in values.items()}
