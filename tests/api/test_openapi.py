"""The description that clients are generated from, and the page that shows it."""

import re
from typing import Any

import pytest
from fastapi import FastAPI

from tests.conftest import Client

OPERATIONS = {
    ("/tasks", "get"): ("listTasks", {200, 401, 422, 500, 503}),
    ("/tasks", "post"): ("createTask", {201, 401, 413, 415, 422, 500, 503}),
    ("/tasks/{id}", "get"): ("getTask", {200, 401, 404, 422, 500, 503}),
    ("/tasks/{id}", "put"): ("replaceTask", {200, 401, 404, 413, 415, 422, 500, 503}),
    ("/tasks/{id}", "patch"): ("updateTask", {200, 401, 404, 413, 415, 422, 500, 503}),
    ("/tasks/{id}", "delete"): ("deleteTask", {204, 401, 404, 422, 500, 503}),
}


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


async def test_it_is_served_to_anybody_as_openapi_3_1(client: Client, document: dict[str, Any]) -> None:
    response = await client(None).get("/openapi.json")
    assert response.json() == document
    assert document["openapi"].startswith("3.1")


@pytest.mark.parametrize(("where", "expected"), OPERATIONS.items(), ids=lambda value: str(value))
def test_every_operation_names_its_id_and_its_statuses(
    document: dict[str, Any], where: tuple[str, str], expected: tuple[str, set[int]]
) -> None:
    path, method = where
    operation = document["paths"][path][method]
    assert (operation["operationId"], {int(status) for status in operation["responses"]}) == expected
    for status, response in operation["responses"].items():
        assert "X-Request-Id" in response["headers"]
        if int(status) >= 400:
            (media_type,) = response["content"]
            assert media_type == "application/problem+json"
        elif status == "204":
            assert "content" not in response


def test_the_headers_that_clients_act_on_are_documented(document: dict[str, Any]) -> None:
    create = document["paths"]["/tasks"]["post"]["responses"]
    assert "Location" in create["201"]["headers"]
    assert "WWW-Authenticate" in create["401"]["headers"]
    assert "Retry-After" in create["503"]["headers"]
    assert "Accept-Patch" in document["paths"]["/tasks/{id}"]["patch"]["responses"]["415"]["headers"]


def test_a_patch_may_be_a_merge_patch(document: dict[str, Any]) -> None:
    content = document["paths"]["/tasks/{id}"]["patch"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/merge-patch+json"}


def test_requests_are_closed_and_responses_complete(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    of_tasks = {"Status", "TaskCreate", "TaskRead", "TaskReplace", "TaskUpdate"}
    assert set(schemas) == of_tasks | {"FieldError", "Health", "InvalidRequest", "Problem"}
    for name in ("TaskCreate", "TaskReplace", "TaskUpdate"):
        assert schemas[name]["additionalProperties"] is False
    assert "required" not in schemas["TaskUpdate"]
    assert all("default" not in member for member in schemas["TaskUpdate"]["properties"].values())
    for name in ("TaskRead", "Problem", "InvalidRequest", "FieldError"):
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"])
    title = schemas["TaskCreate"]["properties"]["title"]
    assert (title["minLength"], title["maxLength"], title["type"]) == (1, 255, "string")
    assert re.search(title["pattern"], "x")
    assert not re.search(title["pattern"], " \u200b")
    assert schemas["TaskRead"]["properties"]["id"]["format"] == "uuid"
    assert schemas["TaskRead"]["properties"]["created_at"]["format"] == "date-time"


def test_every_code_of_a_problem_is_told(document: dict[str, Any]) -> None:
    told = document["components"]["schemas"]["Problem"]["properties"]["code"]["description"]
    for code in ("token_missing", "token_expired", "task_not_found", "database_unavailable", "outcome_unknown"):
        assert code in told


def test_everything_but_health_needs_a_bearer_token(document: dict[str, Any]) -> None:
    assert document["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation.get("security") == ([] if path in ("/livez", "/readyz") else None)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = re.findall(r"#/components/schemas/(\w+)", str(document))
    assert set(references) <= set(document["components"]["schemas"])


async def test_the_docs_load_nothing_from_elsewhere(client: Client) -> None:
    nobody = client(None)
    page = await nobody.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) == 3
    for asset in assets:
        assert (await nobody.get(asset)).status_code == 200
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)
