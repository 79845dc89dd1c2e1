"""The description that clients are generated from, and the page that shows it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from tests.conftest import Client

EVERYWHERE = {401, 422, 429, 500, 503}
OPERATIONS = {
    ("/tasks", "get"): ("listTasks", EVERYWHERE | {200, 304}),
    ("/tasks", "post"): ("createTask", EVERYWHERE | {201, 409, 413, 415}),
    ("/tasks/{id}", "get"): ("getTask", EVERYWHERE | {200, 304, 404}),
    ("/tasks/{id}", "put"): ("replaceTask", EVERYWHERE | {200, 404, 412, 413, 415}),
    ("/tasks/{id}", "patch"): ("updateTask", EVERYWHERE | {200, 404, 412, 413, 415}),
    ("/tasks/{id}", "delete"): ("deleteTask", EVERYWHERE | {204, 404, 412}),
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
            for example in response["content"][media_type]["examples"].values():
                assert example["value"]["status"] == int(status)
        elif status in ("204", "304"):
            assert "content" not in response
        else:
            assert set(response["content"]) == {"application/json"}


HEADERS = [
    ("/tasks", "get", "200", {"ETag", "Link"}),
    ("/tasks", "get", "304", {"ETag", "Link"}),
    ("/tasks", "post", "201", {"ETag", "Location", "Idempotent-Replayed"}),
    ("/tasks", "post", "409", {"Retry-After"}),
    ("/tasks/{id}", "get", "200", {"ETag"}),
    ("/tasks/{id}", "put", "200", {"ETag"}),
    ("/tasks/{id}", "put", "415", set()),
    ("/tasks/{id}", "patch", "415", {"Accept-Patch"}),
    ("/tasks/{id}", "delete", "429", {"Retry-After"}),
    ("/tasks/{id}", "delete", "503", {"Retry-After"}),
]


@pytest.mark.parametrize(("path", "method", "status", "expected"), HEADERS)
def test_the_headers_that_clients_act_on_are_documented(
    document: dict[str, Any], path: str, method: str, status: str, expected: set[str]
) -> None:
    headers = document["paths"][path][method]["responses"][status]["headers"]
    everywhere = {"X-Request-Id", "RateLimit", "RateLimit-Policy", "Access-Control-Allow-Origin"}
    assert set(headers) == expected | everywhere


def test_a_probe_knows_no_limit(document: dict[str, Any]) -> None:
    headers = document["paths"]["/livez"]["get"]["responses"]["200"]["headers"]
    assert set(headers) == {"X-Request-Id", "Access-Control-Allow-Origin"}


def test_a_patch_may_be_a_merge_patch(document: dict[str, Any]) -> None:
    content = document["paths"]["/tasks/{id}"]["patch"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/merge-patch+json"}


def test_requests_are_closed_and_responses_complete(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    of_tasks = {"TaskCreate", "TaskRead", "TaskReplace", "TaskSort", "TaskStatus", "TaskUpdate"}
    assert set(schemas) == of_tasks | {"FieldError", "Health", "InvalidRequest", "Problem", "Ready"}
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
    told = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    for code in (
        "precondition_failed",
        "idempotency_key_reused",
        "rate_limited",
        "token_missing",
        "token_expired",
        "task_not_found",
        "database_unavailable",
        "outcome_unknown",
    ):
        assert code in told


def test_everything_but_health_needs_a_bearer_token(document: dict[str, Any]) -> None:
    assert document["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation.get("security") == ([] if path in ("/livez", "/readyz") else None)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for kind, name in re.findall(r"#/components/(\w+)/([\w-]+)", str(document)):
        assert name in document["components"][kind]


def test_the_committed_document_is_what_the_code_says(document: dict[str, Any]) -> None:
    committed = json.loads((Path(__file__).parents[2] / "openapi.json").read_text())
    assert committed == document, "run `make openapi`, and look at what changed for clients"


async def test_the_docs_load_nothing_from_elsewhere_and_may_not(client: Client) -> None:
    nobody = client(None)
    page = await nobody.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) == 4
    for asset in assets:
        assert (await nobody.get(asset)).status_code == 200
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)
    assert not re.findall(r"<script(?! src=)|<style| style=| on\w+=", page.text)  # nothing inline
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
