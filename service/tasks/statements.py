"""What is asked of Postgres about tasks: SQLModel statements, built once, that return what answers need.

None names a user. Which rows there are, db/policies/ decides.
"""

from functools import cache
from typing import Any

from sqlalchemy import ARRAY, DateTime, Text, any_, bindparam, delete, insert, quoted_name, tuple_, update
from sqlmodel import col, or_, select

from service.tasks.models import Task, TaskRead, TaskReplace

COLUMNS: Any = [getattr(Task, name) for name in TaskRead.model_fields]
NEW: dict[str, Any] = {name: bindparam(f"new_{name}") for name in TaskReplace.model_fields}

_THIS_ONE = col(Task.id) == bindparam("task_id")
_UNCHANGED = col(Task.updated_at) == any_(bindparam("versions", type_=ARRAY(DateTime(timezone=True))))
# Knows upper and lower case of all letters, which the database's own collation may not.
_UNICODE = quoted_name("app.unicode", quote=False)

_FILTERS: dict[str, Any] = {
    "status": col(Task.status) == any_(bindparam("status", type_=ARRAY(Text))),
    "q": or_(*(col(column).collate(_UNICODE).ilike(bindparam("q")) for column in (Task.title, Task.description))),
    "updated_since": col(Task.updated_at) >= bindparam("updated_since"),
}

GET = select(*COLUMNS).where(_THIS_ONE)

CREATE = insert(Task).values(NEW).returning(*COLUMNS)


@cache
def list_of(order: str, descending: bool, filters: frozenset[str], after: bool) -> Any:
    """A page of tasks in the order of one column, then of id. docs/decisions/0006 says which indexes there are for it.

    There are three columns, two directions, eight sets of filters, and pages with and without a row that they begin
    after: 96 statements.
    """
    keys: list[Any] = [getattr(Task, order), Task.id]
    statement: Any = select(*COLUMNS).where(*(_FILTERS[name] for name in sorted(filters)))
    if after:
        row = tuple_(bindparam("after", type_=keys[0].type), bindparam("after_id", type_=keys[1].type))
        statement = statement.where(tuple_(*keys) < row if descending else tuple_(*keys) > row)
    ordered = statement.order_by(*(key.desc() if descending else key.asc() for key in keys))
    return ordered.limit(bindparam("rows")).offset(bindparam("skip"))


@cache
def update_of(fields: frozenset[str], *, if_unchanged: bool) -> Any:
    """UPDATE of these columns of one task, of which there are seven sets, or SELECT of it when there are none.

    With `if_unchanged` only while its version is one of `versions`. Postgres judges that under the row's lock: whoever
    waited for another's change looks again at what the row has become.
    """
    if not fields:
        return select(*COLUMNS).where(*_target(if_unchanged))
    values = {name: NEW[name] for name in sorted(fields)}
    return update(Task).where(*_target(if_unchanged)).values(values).returning(*COLUMNS)


@cache
def delete_one(*, if_unchanged: bool) -> Any:
    """DELETE of one task; `if_unchanged` as in `update_of`."""
    return delete(Task).where(*_target(if_unchanged)).returning(col(Task.id))


def _target(if_unchanged: bool) -> list[Any]:
    return [_THIS_ONE, _UNCHANGED] if if_unchanged else [_THIS_ONE]


def new(values: dict[str, Any]) -> dict[str, Any]:
    """Bind parameters for what is written."""
    return {f"new_{name}": value for name, value in values.items()}
