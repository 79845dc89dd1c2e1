"""The operations on tasks. A handler has the caller's transaction and cannot name the caller."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlalchemy import Executable, Row

from service.cursors import CallersCursors
from service.database.transaction import CallersTransaction
from service.http.conditional import IF_MATCH, IF_NONE_MATCH, EntityTags, PreconditionFailed, not_modified
from service.http.openapi import answers, refusals
from service.http.parameters import StrictRoute
from service.http.problems import InvalidRequest, NotFound
from service.tasks import statements
from service.tasks.etags import etag_of, etag_of_list, versions
from service.tasks.idempotency import IDEMPOTENCY_KEY, KeyInFlight, KeyReused, create_once
from service.tasks.listing import ListTasks, next_page, position
from service.tasks.models import TaskCreate, TaskId, TaskRead, TaskReplace, TaskUpdate

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=StrictRoute)


class TaskNotFound(NotFound):
    """Missing and somebody else's are one and the same."""

    code = "task_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such task.")


_WRONG_QUERY = InvalidRequest.at("/query/limit", "too_large", "At most 200.")
_WRONG_BODY = InvalidRequest.at("/title", "too_short", "At least 1 character.")
_WRONG_ID = InvalidRequest.at(
    "/path/id", "not_a_uuid", "A UUID is expected, such as 01890a5d-ac96-774b-bcce-b302099a8057."
)
_NOT_MODIFIED = "Not Modified: what If-None-Match names is still the newest."


def found(row: Row[Any] | None) -> Row[Any]:
    """The row, which is there.

    Raises:
        TaskNotFound: when it is not.
    """
    if row is None:
        raise TaskNotFound
    return row


@router.get(
    "",
    summary="List tasks",
    operation_id="listTasks",
    openapi_extra=IF_NONE_MATCH.documented(),
    response_model=Annotated[list[TaskRead], Field(max_length=200)],
    responses=answers(200, "ETag", "Link")
    | answers(304, "ETag", "Link", description=_NOT_MODIFIED)
    | refusals(_WRONG_QUERY),
)
async def list_tasks(
    query: Annotated[ListTasks, Query()],
    transaction: CallersTransaction,
    cursors: CallersCursors,
    request: Request,
    response: Response,
) -> Any:
    """List tasks, newest first unless `sort` says otherwise. `Link` leads to the next page, if there is one."""
    known = IF_NONE_MATCH.of(request)
    after = position(query, cursors)
    statement = statements.list_of(query.sort.column, query.sort.descending, query.filters, bool(after))
    tasks = await transaction.all(statement, query.parameters() | after)
    page = tasks[: query.limit]
    links = {"Link": f'<{next_page(query, page[-1], cursors)}>; rel="next"'} if len(tasks) > len(page) else {}
    headers = {"ETag": etag_of_list(page, links.get("Link", ""))} | links
    if known and known.match_weakly(headers["ETag"]):
        return not_modified(headers)
    response.headers.update(headers)
    return page


@router.post(
    "",
    summary="Create a task",
    operation_id="createTask",
    openapi_extra=IDEMPOTENCY_KEY.documented(),
    response_model=TaskRead,
    status_code=201,
    responses=answers(201, "ETag", "Location", "Idempotent-Replayed")
    | refusals(KeyInFlight(), _WRONG_BODY, KeyReused()),
)
async def create_task(
    task: TaskCreate,
    transaction: CallersTransaction,
    request: Request,
    response: Response,
) -> Any:
    """Create a task. With an Idempotency-Key it is safe to send the same request again."""
    key = IDEMPOTENCY_KEY.of(request)
    if key is None:
        created = found(await transaction.one_or_none(statements.CREATE, statements.new(task.model_dump())))
    else:
        created, replayed = await create_once(task, key, transaction)
        if replayed:
            response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/tasks/{created.id}"
    response.headers["ETag"] = etag_of(created)
    return created


@router.get(
    "/{id}",
    summary="Read a task",
    operation_id="getTask",
    openapi_extra=IF_NONE_MATCH.documented(),
    response_model=TaskRead,
    responses=answers(200, "ETag")
    | answers(304, "ETag", description=_NOT_MODIFIED)
    | refusals(TaskNotFound(), _WRONG_ID),
)
async def get_task(id: TaskId, transaction: CallersTransaction, request: Request, response: Response) -> Any:
    """Read a task."""
    known = IF_NONE_MATCH.of(request)
    task = found(await transaction.one_or_none(statements.GET, {"task_id": id}))
    etag = etag_of(task)
    if known and known.match_weakly(etag):
        return not_modified({"ETag": etag})
    response.headers["ETag"] = etag
    return task


@router.put(
    "/{id}",
    summary="Replace a task",
    operation_id="replaceTask",
    openapi_extra=IF_MATCH.documented(),
    response_model=TaskRead,
    responses=answers(200, "ETag") | refusals(TaskNotFound(), PreconditionFailed(), _WRONG_BODY),
)
async def replace_task(
    id: TaskId,
    task: TaskReplace,
    transaction: CallersTransaction,
    request: Request,
    response: Response,
) -> Any:
    """Replace a task: what is left out goes back to its default."""
    return await _update(id, task.model_dump(), transaction, IF_MATCH.of(request), response)


@router.patch(
    "/{id}",
    summary="Change a task",
    operation_id="updateTask",
    openapi_extra=IF_MATCH.documented(),
    response_model=TaskRead,
    responses=answers(200, "ETag") | refusals(TaskNotFound(), PreconditionFailed(), _WRONG_BODY),
)
async def update_task(
    id: TaskId,
    task: TaskUpdate,
    transaction: CallersTransaction,
    request: Request,
    response: Response,
) -> Any:
    """Change a task: what is left out stays as it is."""
    return await _update(id, task.changes(), transaction, IF_MATCH.of(request), response)


@router.delete(
    "/{id}",
    summary="Delete a task",
    operation_id="deleteTask",
    openapi_extra=IF_MATCH.documented(),
    status_code=204,
    responses=answers(204) | refusals(TaskNotFound(), PreconditionFailed(), _WRONG_ID),
)
async def delete_task(id: TaskId, transaction: CallersTransaction, request: Request) -> Response:
    """Delete a task."""
    condition = _condition(IF_MATCH.of(request))
    await _write(statements.delete_one(if_unchanged=bool(condition)), {"task_id": id, **condition}, transaction)
    return Response(status_code=204)


async def _update(
    id: TaskId,
    values: dict[str, Any],
    transaction: CallersTransaction,
    if_match: EntityTags | None,
    response: Response,
) -> Row[Any]:
    condition = _condition(if_match)
    statement = statements.update_of(frozenset(values), if_unchanged=bool(condition))
    task = await _write(statement, {"task_id": id, **condition, **statements.new(values)}, transaction)
    response.headers["ETag"] = etag_of(task)
    return task


def _condition(if_match: EntityTags | None) -> dict[str, Any]:
    """The bind parameter of a statement that is for certain versions only. None for `*`, which a missing row fails."""
    return {} if if_match is None or if_match.any else {"versions": versions(if_match)}


async def _write(statement: Executable, parameters: dict[str, Any], transaction: CallersTransaction) -> Row[Any]:
    """The row that was written.

    Raises:
        TaskNotFound: when there is no such task.
        PreconditionFailed: when there is, in another version.
    """
    written = await transaction.one_or_none(statement, parameters)
    if written is None and "versions" in parameters:
        found(await transaction.one_or_none(statements.GET, {"task_id": parameters["task_id"]}))
        raise PreconditionFailed
    return found(written)
