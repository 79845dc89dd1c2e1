"""Idempotency-Key: a POST that is sent again makes no second task.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Interval, Row, bindparam, delete, func, insert, literal, update
from sqlalchemy.dialects import postgresql
from sqlmodel import col, select

from service.database.errors import DatabaseBusy
from service.database.transaction import Transaction
from service.http.parameters import HeaderParameter, RefusedHeader
from service.http.problems import FieldError, InvalidRequest, Problem
from service.tasks import statements
from service.tasks.models import IdempotencyKey, Task, TaskCreate, TaskRead

_LONGEST = 255
_MOST_SWEPT = 20


class KeyReused(InvalidRequest):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        pointer, detail = "/header/Idempotency-Key", "Another task was created with it. Send a new one for each task."
        super().__init__(
            "This Idempotency-Key came with another task.", [FieldError(pointer=pointer, code=self.code, detail=detail)]
        )


class KeyInFlight(Problem):
    status = 409
    code = "idempotency_key_in_flight"

    def __init__(self) -> None:
        super().__init__("The first request with this Idempotency-Key is still being answered. Try again.")
        self.headers = {"Retry-After": "1"}


def _visible_ascii(key: str) -> str:
    if not (0 < len(key) <= _LONGEST and key.isascii() and key.isprintable() and " " not in key):
        raise RefusedHeader("not_a_key", f"1 to {_LONGEST} printable ASCII characters without spaces.")
    return key


IDEMPOTENCY_KEY = HeaderParameter(
    "Idempotency-Key",
    description="Any new value, a UUID say. However often a request comes with it, it creates one task.",
    schema={
        "type": "string",
        "minLength": 1,
        "maxLength": _LONGEST,
        "pattern": "^[!-~]+$",
        "examples": ["8e03978e-40d5-43dd-bc93-6894a57f9324"],
    },
    parse=_visible_ascii,
)

_EXPIRED = col(IdempotencyKey.created_at) < func.now() - literal(timedelta(hours=24), Interval)
_THIS_KEY = col(IdempotencyKey.key) == bindparam("this_key")

_claim = postgresql.insert(IdempotencyKey).values(key=bindparam("this_key"), payload_sha256=bindparam("payload_sha256"))
# Returns the key when it is new or expired. One that another transaction is claiming is waited for.
_CLAIM = _claim.on_conflict_do_update(
    constraint="idempotency_keys_pkey",
    set_={
        "payload_sha256": _claim.excluded.payload_sha256,
        "task_id": None,
        "created_at": _claim.excluded.created_at,
    },
    where=_EXPIRED,
).returning(col(IdempotencyKey.key))

# Makes the task, tells the key of it, and deletes a few keys that have expired.
_created = insert(Task).values(statements.NEW).returning(*statements.COLUMNS).cte("created")
_remembered = update(IdempotencyKey).where(_THIS_KEY).values(task_id=select(_created.c.id).scalar_subquery())
_oldest = select(IdempotencyKey.key).where(_EXPIRED).order_by(col(IdempotencyKey.created_at)).limit(_MOST_SWEPT)
_swept = delete(IdempotencyKey).where(col(IdempotencyKey.key).in_(_oldest.with_for_update(skip_locked=True)))
_CREATE = select(*_created.c).add_cte(_remembered.cte("remembered"), _swept.cte("swept"))

# The task as it was created: what was sent now is what was sent then, and both times are those of the transaction.
_AS_CREATED: dict[str, Any] = {
    "id": IdempotencyKey.task_id,
    "created_at": IdempotencyKey.created_at,
    "updated_at": IdempotencyKey.created_at,
    **{name: bindparam(f"new_{name}", type_=getattr(Task, name).type) for name in statements.NEW},
}
_REPLAY = select(
    col(IdempotencyKey.payload_sha256),
    *(
        (_AS_CREATED[name] if name in _AS_CREATED else getattr(IdempotencyKey, name)).label(name)
        for name in TaskRead.model_fields
    ),
).where(_THIS_KEY)


async def create_once(task: TaskCreate, key: str, transaction: Transaction) -> tuple[Row[Any], bool]:
    """Create a task, unless this key has created it before.

    The key is claimed, the task made and the key told of it in one transaction: all of it is there, or nothing.

    Returns:
        The task as it was created, and whether that was before.

    Raises:
        KeyReused: when the key came with another payload.
        KeyInFlight: when the request that claims the key takes longer than the role's lock_timeout.
    """
    values = task.model_dump()
    payload = sha256(json.dumps(values, sort_keys=True).encode()).digest()
    parameters = {"this_key": key, "payload_sha256": payload}
    try:
        claimed = await transaction.one_or_none(_CLAIM, parameters)
    except DatabaseBusy:
        raise KeyInFlight from None
    new = statements.new(values)
    if claimed is not None:
        created = await transaction.all(_CREATE, {"this_key": key, **new})
        return created[0], False
    replay = await transaction.all(_REPLAY, {"this_key": key, **new})
    if replay[0].payload_sha256 != payload:
        raise KeyReused
    return replay[0], True
