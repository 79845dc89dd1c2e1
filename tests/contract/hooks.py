"""What schemathesis loads: the checks of this product's own, and which failures are none.

Everything that one user asks is asked again by the other, who must never get any of it.
"""

import json
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import requests
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.generation.meta import TestPhase

# The `sub` of a token: the Authorization header with it.
TOKENS: dict[str, str] = {
    entry["name"]: entry["fixedHeaders"][0]["value"]
    for entry in json.loads(Path(os.environ["SCHEMATHESIS_USERS"]).read_text())["auth"]
}
_SESSION = requests.Session()
_DECLARED = json.dumps(json.loads(Path("openapi.json").read_text()), ensure_ascii=False)


# --- what is no failure ---


@dataclass(frozen=True)
class Excuse:
    """A refusal of a request that openapi.json allows, because no schema can say what is wrong with it.

    Only a 422 is excused whose every error has this code and pointer.
    """

    operation: str
    code: str
    pointer: str
    reason: str


EXCUSED = (
    Excuse(
        "createTask",
        "idempotency_key_reused",
        "/header/Idempotency-Key",
        "Whether a key is new depends on the requests before; that it came with another task is what is to be told.",
    ),
)


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Keep every failure but those that are excused."""
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code != 422:
        return True
    operation = case.operation.definition.raw["operationId"]
    errors = [(error["code"], error["pointer"]) for error in response.json()["errors"]]
    excused = {(excuse.code, excuse.pointer) for excuse in EXCUSED if excuse.operation == operation}
    return not excused.issuperset(errors)


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Leave out of a valid request what is not: else the operations would hardly ever be seen to succeed.

    That is a cursor, which is signed, so that only a Link header has one (ChecksOfTwoUsers follows those), and which
    OpenAPI cannot say to be instead of skip; and a header that its own pattern refuses: the coverage phase heeds no
    pattern of headers. Where operations build on each other, every key is a new one: a replay tells of a task that may
    have been deleted since, which no check could know.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.meta.phase.name is TestPhase.STATEFUL and case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if case.query:
        case.query.pop("cursor", None)
    for parameter in case.operation.definition.raw.get("parameters", ()):
        name, pattern = parameter["name"], parameter["schema"].get("pattern")
        value = case.headers.get(name) if case.headers and parameter["in"] == "header" else None
        if pattern and value is not None and not re.search(pattern, str(value)):
            del case.headers[name]


# --- what every answer obeys ---


@schemathesis.check
def problems_are_problem_json(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """RFC 9457, for every status from 400 on."""
    if response.status_code < 400:
        return
    assert response.headers["content-type"] == ["application/problem+json"], response.headers["content-type"]
    problem = response.json()
    assert problem["status"] == response.status_code, "status is not the status of the answer"
    assert [problem["request_id"]] == response.headers["x-request-id"], "request_id is not X-Request-Id"
    assert ("errors" in problem) == (response.status_code == 422), "errors belong to a 422"


@schemathesis.check
def headers_are_everywhere(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """What no answer lacks."""
    for name, value in {
        "x-content-type-options": "nosniff",
        "cache-control": "private, no-cache",
        "vary": "Authorization, Origin",
    }.items():
        assert response.headers.get(name) == [value], f"{name} is {response.headers.get(name)}"
    assert len(response.headers["x-request-id"]) == 1
    assert "server" not in response.headers


@schemathesis.check
def refusals_repeat_nothing(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Neither the body nor a header of a refusal has anything of the request that is not in openapi.json."""
    if response.status_code < 400:
        return
    told = response.content.decode() + json.dumps(response.headers, ensure_ascii=False)
    sent = [case.path_parameters, case.query, case.headers, case.body]
    for text in {text for part in sent for text in _texts(part)}:
        # Shorter ones occur by chance.
        assert len(text) < 8 or text in _DECLARED or text not in told, "a refusal repeats what was sent"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from (*_texts(name), *_texts(member))
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)


# --- two users ---


@schemathesis.check
class ChecksOfTwoUsers:
    """Every task in any answer is that of whoever asked, and for the other it does not exist.

    The request of one is sent again with the token of the other, byte for byte.
    """

    def __init__(self) -> None:
        self._made: dict[str, set[str]] = {user: set() for user in TOKENS}

    def after_response(self, ctx: CheckContext, response: Response, case: Case[Any]) -> None:
        """Look at an answer, then ask again as the other user."""
        request = response.request
        if request.method == "OPTIONS":
            return  # tells of the path, to anybody, and of no task
        user = _user_of(request)
        self._look(user, request, response.status_code, response.content)
        if user is None or not _succeeded(response.status_code):
            return
        other = next(name for name in TOKENS if name != user)
        again = self._ask_as(other, request)
        if _path(request) == "/tasks":
            # The other has a list, and keys, of their own.
            expected = {200, 304} if request.method == "GET" else {201, 422}
            assert again.status_code in expected, f"the other user got {again.status_code}"
            self._follow_next(user, other, response)
        elif _path(request).startswith("/tasks/"):
            assert again.status_code == 404, f"the other user got {again.status_code}, not 404"
            assert again.json()["code"] == "task_not_found"

    def _follow_next(self, user: str, other: str, response: Response) -> None:
        """The next page is there for whoever got the link, and for nobody else."""
        link = response.headers.get("link")
        if link is None:
            return
        url = urljoin(str(response.request.url), link[0].partition(">")[0].removeprefix("<"))
        next_page = requests.Request("GET", url).prepare()
        assert self._ask_as(user, next_page).status_code == 200, "Link leads nowhere"
        refused = self._ask_as(other, next_page)
        assert refused.status_code == 422, f"the other user got {refused.status_code} for a cursor"

    def _ask_as(self, user: str, request: requests.PreparedRequest) -> requests.Response:
        again = request.copy()
        again.headers["Authorization"] = TOKENS[user]
        answer = _SESSION.send(again, allow_redirects=False, timeout=10)
        self._look(user, again, answer.status_code, answer.content)
        return answer

    def _look(self, user: str | None, request: requests.PreparedRequest, status: int, content: bytes) -> None:
        if not (_succeeded(status) and _path(request).startswith("/tasks")):
            return
        assert user is not None, "an answer without a valid token"
        foreign = set().union(*(ids for owner, ids in self._made.items() if owner != user))
        assert _path(request).removeprefix("/tasks/").lower() not in foreign, "a task of the other user"
        body = json.loads(content) if content else []
        for task in body if isinstance(body, list) else [body]:
            assert task["owner_id"] == user, "a task of somebody else"
            assert task["id"] not in foreign, "the id of a task of the other user"
            if status == 201:
                self._made[user].add(task["id"])


def _succeeded(status: int) -> bool:
    return status < 400


def _path(request: requests.PreparedRequest) -> str:
    return unquote(urlsplit(str(request.url)).path)


def _user_of(request: requests.PreparedRequest) -> str | None:
    """The `sub` of the token that went out, if it is one."""
    scheme_and_token = request.headers.get("Authorization", "")
    return next((user for user, value in TOKENS.items() if value == scheme_and_token), None)
