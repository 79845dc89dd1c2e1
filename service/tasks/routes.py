"""The operations on tasks. A handler has the caller's transaction and cannot name the caller."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy import Row

from service.database.transaction import CallersTransaction
from service.http.openapi import refusals
from service.http.problems import NotFound
from service.tasks import statements
from service.tasks.listing import ListTasks
from service.tasks.models import TaskCreate, TaskId, TaskRead, TaskReplace, TaskUpdate

router = APIRouter(prefix="/tasks", tags=["tasks"])


_CREATED: dict[int | str, dict[str, Any]] = {
    201: {
        "headers": {
            "Location": {
                "description": "The path of the new task.",
                "required": True,
                "schema": {"type": "string", "format": "uri-reference"},
            }
        }
    }
}


class TaskNotFound(NotFound):
    """Missing and somebody else's are one and the same."""

    code = "task_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such task.")


def found(row: Row[Any] | None) -> Row[Any]:
    """The row, which is there.

    Raises:
        TaskNotFound: when it is not.
    """
    if row is None:
        raise TaskNotFound
    return row


@router.get("", operation_id="listTasks", response_model=list[TaskRead], responses=refusals(401, 422, 503))
async def list_tasks(query: Annotated[ListTasks, Query()], transaction: CallersTransaction) -> Any:
    """List tasks, newest first."""
    return await transaction.all(statements.LIST, {"limit": query.limit, "skip": query.skip})


@router.post(
    "",
    operation_id="createTask",
    response_model=TaskRead,
    status_code=201,
    responses=_CREATED | refusals(401, 413, 415, 422, 503),
)
async def create_task(task: TaskCreate, transaction: CallersTransaction, response: Response) -> Any:
    """Create a task."""
    created = found(await transaction.one_or_none(statements.CREATE, statements.new(task.model_dump())))
    response.headers["Location"] = f"/tasks/{created.id}"
    return created


@router.get("/{id}", operation_id="getTask", response_model=TaskRead, responses=refusals(401, 404, 422, 503))
async def get_task(id: TaskId, transaction: CallersTransaction) -> Any:
    """Read a task."""
    return found(await transaction.one_or_none(statements.GET, {"task_id": id}))


@router.put(
    "/{id}",
    operation_id="replaceTask",
    response_model=TaskRead,
    responses=refusals(401, 404, 413, 415, 422, 503),
)
async def replace_task(id: TaskId, task: TaskReplace, transaction: CallersTransaction) -> Any:
    """Replace a task: what is left out goes back to its default."""
    return await _update(id, task.model_dump(), transaction)


@router.patch(
    "/{id}",
    operation_id="updateTask",
    response_model=TaskRead,
    responses=refusals(401, 404, 413, 415, 422, 503),
)
async def update_task(id: TaskId, task: TaskUpdate, transaction: CallersTransaction) -> Any:
    """Change a task: what is left out stays as it is."""
    changes = task.changes()
    if not changes:
        return await get_task(id, transaction)
    return await _update(id, changes, transaction)


@router.delete("/{id}", operation_id="deleteTask", status_code=204, responses=refusals(401, 404, 422, 503))
async def delete_task(id: TaskId, transaction: CallersTransaction) -> Response:
    """Delete a task."""
    found(await transaction.one_or_none(statements.DELETE, {"task_id": id}))
    return Response(status_code=204)


async def _update(id: TaskId, values: dict[str, Any], transaction: CallersTransaction) -> Row[Any]:
    statement = statements.update_of(frozenset(values))
    return found(await transaction.one_or_none(statement, {"task_id": id, **statements.new(values)}))
