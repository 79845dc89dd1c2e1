"""Which part of the list is asked for: filter, order, and where a page begins."""

import json
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import Row

from service.cursors import BrokenCursor, CallersCursors
from service.http.problems import InvalidRequest
from service.tasks.models import WITHOUT_NUL, TaskStatus, without_nul
from service.tasks.times import from_microseconds, microseconds


class TaskSort(StrEnum):
    """What a list is in the order of; `-` is for descending. Tasks that are alike in it are in that of their ids."""

    NEWEST_FIRST = "-created_at"
    OLDEST_FIRST = "created_at"
    LATEST_CHANGE_FIRST = "-updated_at"
    EARLIEST_CHANGE_FIRST = "updated_at"
    TITLE = "title"
    TITLE_DESCENDING = "-title"

    @property
    def column(self) -> str:
        return self.removeprefix("-")

    @property
    def descending(self) -> bool:
        return self.startswith("-")


def _plain(value: Any) -> Any:
    """Digits, and nothing else that Python would take for a number: 1_0, 1.0, a space."""
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]+", value):
        raise PydanticCustomError("wrong_type", "A whole number is expected.")
    return value


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NOT_A_TIME = PydanticCustomError(
    "not_a_time", "A time as RFC 3339 has it is expected, such as 2026-11-21T09:00:00Z; + is written %2B in a URL."
)


def _rfc3339(value: Any) -> Any:
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise _NOT_A_TIME
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:  # year 1 in the east, year 9999 in the west
        raise _NOT_A_TIME from None


Time = Annotated[datetime, BeforeValidator(_rfc3339), AfterValidator(_in_utc)]


_LIKE_SPECIAL, _ESCAPED = re.compile(r"[%_\\]"), r"\\\g<0>"


class ListTasks(BaseModel):
    """The query of GET /tasks. A parameter that is not here is refused."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[
        list[TaskStatus],
        Field(max_length=3, description="Only tasks of one of these: status=Todo&status=Done."),
        AfterValidator(lambda several: sorted(set(several))),  # so that their order is nothing to a cursor
    ] = []
    q: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=255,
            description="Only tasks with this text in their title or description, in whichever case.",
            examples=["milk"],
            json_schema_extra={"pattern": WITHOUT_NUL},
        ),
        AfterValidator(without_nul),
    ] = None
    updated_since: Annotated[
        Time | None,
        Field(
            description="Only tasks that were changed at this time or later: RFC 3339, with an offset.",
            examples=["2026-11-21T09:00:00Z"],
            json_schema_extra={"maxLength": 40},
        ),
    ] = None
    sort: Annotated[
        TaskSort, Field(description="The order; `-` is for descending. Titles are in the order of their code points.")
    ] = TaskSort.NEWEST_FIRST
    limit: Annotated[
        int,
        Field(ge=1, le=200, description="The most tasks to return.", json_schema_extra={"format": "int32"}),
        BeforeValidator(_plain),
    ] = 100
    cursor: Annotated[
        str | None,
        Field(
            max_length=4096,
            json_schema_extra={"pattern": r"^[\w-]+\.[\w-]+$"},
            description="Where the page begins: from the Link header of the page before, for the same filter and sort.",
        ),
    ] = None
    skip: Annotated[
        int | None,
        Field(
            ge=0,
            le=2**31 - 1,
            description="How many of the first to leave out, 0 unless given. Not together with cursor.",
            json_schema_extra={"format": "int32"},
        ),
        BeforeValidator(_plain),
    ] = None

    @property
    def filters(self) -> frozenset[str]:
        """The names of the filters that are in use."""
        return frozenset(name for name in ("status", "q", "updated_since") if getattr(self, name))

    def parameters(self) -> dict[str, Any]:
        """Bind parameters for `statements.list_of`, but those of a cursor. One row more than `limit` is asked for."""
        values: dict[str, Any] = {"rows": self.limit + 1, "skip": self.skip or 0}
        if self.status:
            values["status"] = self.status
        if self.q:
            values["q"] = f"%{_LIKE_SPECIAL.sub(_ESCAPED, self.q)}%"
        if self.updated_since:
            values["updated_since"] = self.updated_since
        return values

    def about(self) -> str:
        """What a cursor is bound to besides its caller: the filter and the order."""
        return self.model_dump_json(include={"status", "q", "updated_since", "sort"})


def position(query: ListTasks, cursors: CallersCursors) -> dict[str, Any]:
    """Bind parameters for where the page begins: after the row that the cursor tells of. None without a cursor.

    Raises:
        InvalidRequest: when the cursor is altered, or was made for another caller, filter or order.
    """
    if query.cursor is None:
        return {}
    if query.skip is not None:
        raise InvalidRequest.at("/query/skip", "conflict", "Not together with cursor.")
    try:
        key, task_id = json.loads(cursors.open(query.cursor, about=query.about()))
    except BrokenCursor:
        raise InvalidRequest.at(
            "/query/cursor",
            "invalid_cursor",
            "This is no cursor of this list. Repeat the filter and sort of the page before, or begin without a cursor.",
        ) from None
    return {"after": key if isinstance(key, str) else from_microseconds(key), "after_id": UUID(task_id)}


def next_page(query: ListTasks, last: Row[Any], cursors: CallersCursors) -> str:
    """The URL, from its path on, of the page that begins after this row."""
    key = getattr(last, query.sort.column)
    content = json.dumps([key if isinstance(key, str) else microseconds(key), str(last.id)], ensure_ascii=False)
    asked = query.model_dump(mode="json", include={*query.filters, "sort", "limit"}, exclude_defaults=True)
    cursor = cursors.seal(content, about=query.about())
    return "/tasks?" + urlencode({**asked, "cursor": cursor}, doseq=True)
