"""Five users do anything, some of it at once, against a model that knows one thing only: who made what.

10,000 steps by Hypothesis. A failure prints its seed: `make test ARGS="-k state_machine --hypothesis-seed=…"`.
"""

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import httpx
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import Token, http_client, new_user

USERS = 5
PROGRAMS, STEPS = 100, 100
FIELDS = ("title", "description", "status")
STATUSES = ("Todo", "InProgress", "Done")
WORDS = ("milk", "Milk and bread", "bread", "a%", "_", "Zoo", "'")
SORTS = ("-created_at", "created_at", "-updated_at", "updated_at", "title", "-title")

Content = dict[str, Any]


@dataclass
class Somebody:
    """A user, and all that they ever did."""

    http: httpx.AsyncClient
    tasks: dict[str, Content] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    keys: dict[str, tuple[Content, Content]] = field(default_factory=dict)  # what was sent first, and answered

    def now_has(self, answer: httpx.Response) -> None:
        task = answer.json()
        self.tasks[task["id"]] = task
        self.etags[task["id"]] = answer.headers["etag"]


@dataclass
class World:
    """What users could hold of each other: every id, every ETag and every cursor that was ever given to anybody."""

    no_task: Content
    no_cursor: Content
    ids: list[str] = field(default_factory=lambda: [str(uuid.uuid4())])
    etags: list[str] = field(default_factory=lambda: ["*", '"never-was"'])
    cursors: list[tuple[Somebody, str]] = field(default_factory=list)


class Step(Protocol):
    """One request of one user, and what must come of it, were they alone in the world."""

    who: int

    async def take(self, me: Somebody, world: World) -> None: ...


def refusal(answer: httpx.Response) -> Content:
    """All that a refusal says, but for the id of its request."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return {"status": answer.status_code, **answer.json(), "request_id": None, "headers": headers}


def contents(task: Content) -> Content:
    return {name: task[name] for name in FIELDS}


@dataclass
class Create:
    who: int
    content: Content
    key: str | None

    async def take(self, me: Somebody, world: World) -> None:
        headers = {"Idempotency-Key": self.key} if self.key else {}
        answer = await me.http.post("/tasks", json=self.content, headers=headers)
        if self.key in me.keys:
            sent, answered = me.keys[self.key]
            if sent == self.content:
                assert (answer.status_code, answer.json()) == (201, answered)
            else:
                assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
            return
        assert answer.status_code == 201
        assert "idempotent-replayed" not in answer.headers
        task = answer.json()
        assert task["id"] not in world.ids
        assert contents(task) == self.content
        me.now_has(answer)
        world.ids.append(task["id"])
        world.etags.append(answer.headers["etag"])
        if self.key:
            me.keys[self.key] = (self.content, task)


@dataclass
class OnOne:
    """A request for one task, be it one's own, deleted, another's, or none that ever was."""

    who: int
    method: str
    which: int
    content: Content
    if_match: int | None

    async def take(self, me: Somebody, world: World) -> None:
        task_id = world.ids[self.which % len(world.ids)]
        tag = None if self.if_match is None else world.etags[self.if_match % len(world.etags)]
        condition = {} if tag is None or self.method == "GET" else {"If-Match": tag}
        body: dict[str, Any] = {"json": self.content} if self.method in ("PUT", "PATCH") else {}
        answer = await me.http.request(self.method, f"/tasks/{task_id}", headers=condition, **body)
        if task_id not in me.tasks:
            assert refusal(answer) == world.no_task
        elif condition and tag not in ("*", me.etags[task_id]):
            assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        else:
            self._done(answer, me, world, me.tasks[task_id])

    def _done(self, answer: httpx.Response, me: Somebody, world: World, before: Content) -> None:
        if self.method == "DELETE":
            assert answer.status_code == 204
            del me.tasks[before["id"]], me.etags[before["id"]]
            return
        after = answer.json()
        assert answer.status_code == 200
        if self.method == "GET" or (self.method == "PATCH" and not self.content):
            assert (after, answer.headers["etag"]) == (before, me.etags[before["id"]])
            return
        left_out = {"description": None, "status": "Todo"} if self.method == "PUT" else {}
        assert after == before | left_out | self.content | {"updated_at": after["updated_at"]}
        assert time_of(after["updated_at"]) > time_of(before["updated_at"])
        me.now_has(answer)
        world.etags.append(answer.headers["etag"])


@dataclass
class ListAll:
    """A list, page by page to its end."""

    who: int
    query: dict[str, Any]

    async def take(self, me: Somebody, world: World) -> None:
        answer = await me.http.get("/tasks", params=self.query)
        listed: list[Content] = answer.json()
        while answer.links:
            url = answer.links["next"]["url"]
            world.cursors.append((me, url))
            answer = await me.http.get(url)
            listed += answer.json()
        assert listed == expected_list(me, self.query)


@dataclass
class Page:
    """A cursor that was given to somebody, for as long as it was good."""

    who: int
    which: int

    async def take(self, me: Somebody, world: World) -> None:
        if not world.cursors:
            return
        owner, url = world.cursors[self.which % len(world.cursors)]
        answer = await me.http.get(url)
        if owner is me:
            assert answer.status_code == 200
            assert all(me.tasks[task["id"]] == task for task in answer.json())
        else:
            assert refusal(answer) == world.no_cursor


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def expected_list(me: Somebody, query: dict[str, Any]) -> list[Content]:
    sort = query.get("sort", "-created_at")
    column, descending = sort.removeprefix("-"), sort.startswith("-")

    def order(task: Content) -> tuple[Any, str]:
        return (task[column] if column == "title" else time_of(task[column]), task["id"])

    def listed(task: Content) -> bool:
        texts = (task["title"], task["description"] or "")
        return ("status" not in query or task["status"] in query["status"]) and (
            "q" not in query or any(query["q"].lower() in text.lower() for text in texts)
        )

    return sorted(filter(listed, me.tasks.values()), key=order, reverse=descending)


WHO = st.integers(0, USERS - 1)
ANY = st.integers(0, 99)
TITLE, DESCRIPTION, STATUS = st.sampled_from(WORDS), st.none() | st.sampled_from(WORDS), st.sampled_from(STATUSES)
WHOLE = st.fixed_dictionaries({"title": TITLE, "description": DESCRIPTION, "status": STATUS})
PART = st.fixed_dictionaries({}, optional={"title": TITLE, "description": DESCRIPTION, "status": STATUS})
REPLACING = st.fixed_dictionaries({"title": TITLE}, optional={"description": DESCRIPTION, "status": STATUS})
QUERY = st.fixed_dictionaries(
    {"limit": st.integers(1, 3)},
    optional={
        "status": st.lists(STATUS, min_size=1, max_size=2, unique=True),
        "q": st.sampled_from(("MILK", "bread", "%", "_", "'")),
        "sort": st.sampled_from(SORTS),
    },
)
TAG = st.none() | ANY
CREATE = st.builds(Create, WHO, WHOLE, st.none() | st.sampled_from(("key-1", "key-2", "key-3")))
STEP: st.SearchStrategy[Step] = st.one_of(
    CREATE,
    CREATE,
    CREATE,
    st.builds(OnOne, WHO, st.sampled_from(("GET", "DELETE")), ANY, st.just({}), TAG),
    st.builds(OnOne, WHO, st.just("PUT"), ANY, REPLACING, TAG),
    st.builds(OnOne, WHO, st.just("PATCH"), ANY, PART, TAG),
    st.builds(ListAll, WHO, QUERY),
    st.builds(Page, WHO, ANY),
)


def rounds(program: list[Step]) -> list[list[Step]]:
    """Cut where somebody would act twice. Different users act at once: were they alone in the world, in whichever
    order that happens is all the same."""
    cut: list[list[Step]] = []
    for step in program:
        if not cut or step.who in {other.who for other in cut[-1]}:
            cut.append([])
        cut[-1].append(step)
    return cut


@settings(
    max_examples=PROGRAMS,
    deadline=None,
    database=None,
    print_blob=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(program=st.lists(STEP, min_size=STEPS, max_size=STEPS))
async def test_everybody_is_alone_in_the_world(app: FastAPI, token_for: Token, program: list[Step]) -> None:
    users = [Somebody(http_client(app, token_for(new_user()))) for _ in range(USERS)]
    try:
        nothing = refusal(await users[0].http.get(f"/tasks/{uuid.uuid4()}"))
        no_cursor = refusal(await users[0].http.get("/tasks?cursor=bm9ib2R5.bm9ib2R5"))
        world = World(nothing, no_cursor)
        for at_once in rounds(program):
            await asyncio.gather(*(step.take(users[step.who], world) for step in at_once))
        for somebody in users:
            assert (await somebody.http.get("/tasks?limit=200")).json() == expected_list(somebody, {})
            for task_id, etag in somebody.etags.items():
                assert (await somebody.http.head(f"/tasks/{task_id}")).headers["etag"] == etag
    finally:
        for somebody in users:
            await somebody.http.aclose()
