"""What a task is: the table, and the bodies of requests and responses."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import CheckConstraint, DateTime, Index, LargeBinary, PrimaryKeyConstraint, Text, Uuid, text
from sqlmodel import Field as Column
from sqlmodel import SQLModel

# A character that is no space, control, format or filler character. Understood alike by Postgres, pydantic
# and ECMA 262, so that the database, the API and generated clients agree on which titles are visible.
VISIBLE = (
    r"[^\u0001-\u0020\u007F-\u00A0\u00AD\u034F\u061C\u115F\u1160\u1680\u17B4\u17B5\u180B-\u180F"
    r"\u2000-\u200F\u2028-\u202F\u205F-\u206F\u2800\u3000\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFFB]"
)


# For OpenAPI: Postgres cannot hold U+0000.
WITHOUT_NUL = r"^[^\u0000]*$"
_VISIBLE_WITHOUT_NUL = rf"^[^\u0000]*{VISIBLE.replace('0001', '0000', 1)}[^\u0000]*$"


class TaskStatus(StrEnum):
    """How far a task has come."""

    TODO = "Todo"
    IN_PROGRESS = "InProgress"
    DONE = "Done"


_ByCodePoint = Text(collation="C")  # the same order on every server


class Task(SQLModel, table=True):
    """Table app.tasks, as db/migrations/ makes it. The database fills in all that a client cannot send."""

    __tablename__ = "tasks"
    __table_args__ = (
        PrimaryKeyConstraint("owner_id", "id", name="tasks_pkey"),
        Index("tasks_by_created_at", "owner_id", "created_at", "id"),
        Index("tasks_by_updated_at", "owner_id", "updated_at", "id"),
        CheckConstraint("owner_id <> ''", name="tasks_owner_id_check"),
        CheckConstraint("char_length(title) BETWEEN 1 AND 255", name="tasks_title_length_check"),
        CheckConstraint(text(f"title ~ '{VISIBLE}'"), name="tasks_title_visible_check"),
        CheckConstraint("char_length(description) <= 10000", name="tasks_description_check"),
        CheckConstraint("status IN ('Todo', 'InProgress', 'Done')", name="tasks_status_check"),
        {"schema": "app"},
    )

    owner_id: str = Column(sa_type=Text, sa_column_kwargs={"server_default": text("app.current_user_id()")})
    id: UUID = Column(sa_type=Uuid, sa_column_kwargs={"server_default": text("app.uuidv7()")})
    title: str = Column(sa_type=_ByCodePoint)
    description: str | None = Column(sa_type=Text)
    status: str = Column(sa_type=Text, sa_column_kwargs={"server_default": text("'Todo'")})
    created_at: datetime = Column(
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": text("now()")},
    )
    updated_at: datetime = Column(
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": text("now()")},
    )


class IdempotencyKey(SQLModel, table=True):
    """Table app.idempotency_keys: which POST made which task. A payload is known by its SHA-256."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        PrimaryKeyConstraint("owner_id", "key", name="idempotency_keys_pkey"),
        Index("idempotency_keys_by_created_at", "owner_id", "created_at"),
        CheckConstraint("owner_id <> ''", name="idempotency_keys_owner_id_check"),
        CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="idempotency_keys_key_check"),
        CheckConstraint("octet_length(payload_sha256) = 32", name="idempotency_keys_payload_sha256_check"),
        {"schema": "app"},
    )

    owner_id: str = Column(sa_type=Text, sa_column_kwargs={"server_default": text("app.current_user_id()")})
    key: str = Column(sa_type=_ByCodePoint)
    payload_sha256: bytes = Column(sa_type=LargeBinary)
    task_id: UUID | None = Column(sa_type=Uuid)
    created_at: datetime = Column(
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": text("now()")},
    )


def without_nul(value: str) -> str:
    """For text that goes to Postgres, which cannot hold U+0000."""
    if "\0" in value:
        raise PydanticCustomError("nul", "U+0000 is not allowed.")
    return value


def _visible(value: str) -> str:
    if not re.search(VISIBLE, value):
        raise PydanticCustomError("invisible", "At least one visible character.")
    return value


_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


def _is_text(value: Any) -> bool:
    """Whether all strings of a JSON value are, however deep."""
    values = [value]
    while values:
        match values.pop():
            case dict() as members:
                values += [*members.keys(), *members.values()]
            case list() as elements:
                values += elements
            case str() as string if _NOT_TEXT.search(string):
                return False
    return True


def _without_defaults(schema: dict[str, Any]) -> None:
    for member in schema["properties"].values():
        member.pop("default", None)


def _a_change(schema: dict[str, Any]) -> None:
    _without_defaults(schema)
    schema["examples"] = [{"status": "Done"}]


Title = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        description="At least one visible character. Stored exactly as sent.",
        examples=["Buy milk"],
        json_schema_extra={"pattern": _VISIBLE_WITHOUT_NUL},
    ),
    AfterValidator(without_nul),
    AfterValidator(_visible),
]
Description = Annotated[
    str,
    Field(
        max_length=10_000,
        description="Stored exactly as sent.",
        examples=["Two litres, if they have them"],
        json_schema_extra={"pattern": WITHOUT_NUL},
    ),
    AfterValidator(without_nul),
]


class TaskRead(BaseModel):
    """A task."""

    id: UUID = Field(examples=["01890a5d-ac96-774b-bcce-b302099a8057"], json_schema_extra={"maxLength": 36})
    title: Title
    description: Description | None
    status: TaskStatus
    created_at: datetime = Field(
        description="RFC 3339, in UTC.", examples=["2026-11-21T09:00:00.123456Z"], json_schema_extra={"maxLength": 32}
    )
    updated_at: datetime = Field(
        description="RFC 3339, in UTC. Later after every change.",
        examples=["2026-11-21T09:00:00.123456Z"],
        json_schema_extra={"maxLength": 32},
    )
    owner_id: str = Field(
        description="Whose task it is: the `sub` of their tokens.",
        examples=["7Qp0cGJX5mBcJvUO4rBqkzvJfK2nR8sL"],
        max_length=255,
        pattern=r"^[ -~]+$",
    )


class _TaskBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _ignore_what_the_database_sets(cls, body: Any) -> Any:
        """What was read can be sent back as it is. It has to be text that could have been read, all the same."""
        if not isinstance(body, dict):
            return body
        if not _is_text([body[name] for name in _SET_BY_THE_DATABASE & body.keys()]):
            raise PydanticCustomError("not_unicode", "U+0000 and lone surrogates are not text.")
        return {name: value for name, value in body.items() if name not in _SET_BY_THE_DATABASE}


class TaskReplace(_TaskBody):
    """A whole task. What is left out goes back to its default. What the database sets (id, created_at, updated_at
    and whose it is) may be sent along, as it was read, and is ignored."""

    # Clients' types would make members with a default required: the descriptions tell of it.
    model_config = ConfigDict(json_schema_extra=_without_defaults)

    title: Title
    description: Annotated[Description | None, Field(description="Null when it is left out.")] = None
    status: Annotated[TaskStatus, Field(description="Todo when it is left out.")] = TaskStatus.TODO


class TaskCreate(TaskReplace):
    """A new task. What the database sets may be sent along, and is ignored."""


class TaskUpdate(_TaskBody):
    """Changes to a task (RFC 7396): what is left out stays as it is. What the database sets may be sent along, and is
    ignored."""

    model_config = ConfigDict(json_schema_extra=_a_change)

    # Optional, but not null: the defaults stand for "not sent" and are never used.
    title: Title = ""
    description: Description | None = None
    status: TaskStatus = TaskStatus.TODO

    def changes(self) -> dict[str, Any]:
        """The members that were sent, and no others."""
        return self.model_dump(exclude_unset=True)


_SET_BY_THE_DATABASE = TaskRead.model_fields.keys() - TaskReplace.model_fields.keys()

_UUID_LENGTH = 36
_A_UUID = "A UUID is expected, such as 01890a5d-ac96-774b-bcce-b302099a8057."


def _canonical(value: Any) -> Any:
    """RFC 9562 §4 has one text form: no braces, no urn:, no missing hyphens."""
    if isinstance(value, str) and len(value) != _UUID_LENGTH:
        raise PydanticCustomError("not_a_uuid", _A_UUID)
    return value


TaskId = Annotated[
    UUID,
    BeforeValidator(_canonical),
    Path(
        description="The `id` of a task.",
        examples=["01890a5d-ac96-774b-bcce-b302099a8057"],
        json_schema_extra={"maxLength": _UUID_LENGTH},
    ),
]
