// An ordinary day: tasks, pages, versions, retries, and what a client can get wrong.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type Api, connect, etag, given, header, type Query, type Task } from "./client.js";
import { allRefused, everyBody, everyChange, everyOperation, NO_TASK, notModified, refused } from "./expect.js";
import { allTasks, pagesOf } from "./pages.js";
import { setting } from "./settings.js";

export async function ordinary(): Promise<void> {
  const alice = connect(setting("ALICE"));
  await health();
  await aTaskFromItsCreationToItsEnd(alice);
  await pages(alice);
  await filtersAndSorts(alice);
  await whatHasNotChangedIsNotSentAgain(alice);
  await nobodyOverwritesWhatTheyHaveNotSeen(alice);
  await sendingAgainCreatesNoSecondTask(alice);
  await othersSeeNothing(alice, connect(setting("BOB")));
  await wrongRequests(alice);
  await withoutAValidToken();
}

async function health(): Promise<void> {
  const nobody = connect();
  assert.equal(given(await nobody.GET("/livez")).status, "ok");
  assert.equal(given(await nobody.GET("/readyz")).status, "ok");
}

async function aTaskFromItsCreationToItsEnd(api: Api): Promise<void> {
  const created = await api.POST("/tasks", { body: { title: "Buy milk", description: "Two litres" } });
  const task = given(created);
  assert.equal(created.response.status, 201);
  assert.equal(header(created.response, "Location"), `/tasks/${task.id}`);
  assert.equal(task.status, "Todo");

  const params = { path: { id: task.id } };
  assert.deepEqual(given(await api.GET("/tasks/{id}", { params })), task);

  const done = given(await api.PATCH("/tasks/{id}", { params, body: { status: "Done" } }));
  assert.deepEqual(done, { ...task, status: "Done", updated_at: done.updated_at });
  const cleared = given(await api.PATCH("/tasks/{id}", { params, body: { description: null }, headers: MERGE_PATCH }));
  assert.deepEqual(cleared, { ...done, description: null, updated_at: cleared.updated_at });

  // What was read can be sent back, with a change in it. What is left out goes back to its default.
  const replaced = given(await api.PUT("/tasks/{id}", { params, body: { ...cleared, title: "Buy bread" } }));
  assert.deepEqual(replaced, { ...cleared, title: "Buy bread", updated_at: replaced.updated_at });
  const reset = given(await api.PUT("/tasks/{id}", { params, body: { title: "Buy bread" } }));
  assert.equal(reset.status, "Todo");

  const deleted = await api.DELETE("/tasks/{id}", { params });
  assert.equal(deleted.response.status, 204);
  refused(await api.GET("/tasks/{id}", { params }), 404, "task_not_found");
}

const MERGE_PATCH = { "Content-Type": "application/merge-patch+json" };

async function pages(api: Api): Promise<void> {
  const created: Task[] = [];
  for (const title of ["a", "b", "c", "d", "e", "f", "g"]) {
    created.push(given(await api.POST("/tasks", { body: { title: `page ${title}` } })));
  }
  const query: Query = { q: "page", sort: "created_at", limit: 3 };
  const sizes: number[] = [];
  for await (const page of pagesOf(api, query)) {
    sizes.push(page.length);
  }
  assert.deepEqual(sizes, [3, 3, 1]);
  assert.deepEqual(await allTasks(api, query), created);
  assert.deepEqual(given(await api.GET("/tasks", { params: { query: { ...query, skip: 5 } } })), created.slice(5));
}

async function filtersAndSorts(api: Api): Promise<void> {
  const low = given(await api.POST("/tasks", { body: { title: "Sweep 1", status: "Todo" } }));
  const middle = given(await api.POST("/tasks", { body: { title: "Sweep 2", status: "InProgress" } }));
  const high = given(await api.POST("/tasks", { body: { title: "Sweep 3", status: "Done" } }));
  const found = (query: Query) => allTasks(api, { q: "sweep", limit: 2, ...query });

  assert.deepEqual(await found({}), [high, middle, low]);
  for (const sort of ["created_at", "updated_at", "title"] as const) {
    assert.deepEqual(await found({ sort }), [low, middle, high]);
    assert.deepEqual(await found({ sort: `-${sort}` }), [high, middle, low]);
  }
  assert.deepEqual(await found({ status: ["Done"] }), [high]);
  assert.deepEqual(await found({ status: ["Todo", "Done"], sort: "title" }), [low, high]);
  assert.deepEqual(await found({ updated_since: middle.updated_at, sort: "title" }), [middle, high]);
  assert.deepEqual(await found({ q: "%" }), []);
}

async function whatHasNotChangedIsNotSentAgain(api: Api): Promise<void> {
  const list = await api.GET("/tasks");
  notModified(await api.GET("/tasks", { params: { header: { "If-None-Match": etag(list.response) } } }));

  const created = await api.POST("/tasks", { body: { title: "Water the plants" } });
  const path = { id: given(created).id };
  const header = { "If-None-Match": etag(created.response) };
  notModified(await api.GET("/tasks/{id}", { params: { path, header } }));
  given(await api.PATCH("/tasks/{id}", { params: { path }, body: { status: "Done" } }));
  assert.equal(given(await api.GET("/tasks/{id}", { params: { path, header } })).status, "Done");
}

async function nobodyOverwritesWhatTheyHaveNotSeen(api: Api): Promise<void> {
  const created = await api.POST("/tasks", { body: { title: "Paint the fence" } });
  const path = { id: given(created).id };
  const first = { "If-Match": etag(created.response) };
  const changed = await api.PATCH("/tasks/{id}", { params: { path, header: first }, body: { status: "InProgress" } });
  assert.equal(given(changed).status, "InProgress");
  allRefused(await everyChange(api, path.id, first), 412, "precondition_failed");

  const newest = { "If-Match": etag((await api.GET("/tasks/{id}", { params: { path } })).response) };
  const deleted = await api.DELETE("/tasks/{id}", { params: { path, header: newest } });
  assert.equal(deleted.response.status, 204);
}

async function sendingAgainCreatesNoSecondTask(api: Api): Promise<void> {
  const params = { header: { "Idempotency-Key": randomUUID() } };
  const first = await api.POST("/tasks", { params, body: { title: "Pay the rent" } });
  const again = await api.POST("/tasks", { params, body: { title: "Pay the rent" } });
  assert.deepEqual(given(again), given(first));
  assert.equal(header(first.response, "Idempotent-Replayed"), null);
  assert.equal(header(again.response, "Idempotent-Replayed"), "true");
  assert.equal((await allTasks(api, { q: "Pay the rent" })).length, 1);

  const another = await api.POST("/tasks", { params, body: { title: "Pay the fine" } });
  refused(another, 422, "idempotency_key_reused");
}

async function othersSeeNothing(alice: Api, bob: Api): Promise<void> {
  const { id } = given(await alice.POST("/tasks", { body: { title: "A secret" } }));
  assert.deepEqual(given(await bob.GET("/tasks")), []);
  for (const missing of [id, NO_TASK]) {
    refused(await bob.GET("/tasks/{id}", { params: { path: { id: missing } } }), 404, "task_not_found");
    allRefused(await everyChange(bob, missing), 404, "task_not_found");
  }
  assert.equal(given(await alice.GET("/tasks/{id}", { params: { path: { id } } })).title, "A secret");
}

async function wrongRequests(api: Api): Promise<void> {
  const nonsense = "no-uuid";
  refused(await api.GET("/tasks/{id}", { params: { path: { id: nonsense } } }), 422, "invalid_request");
  allRefused(await everyChange(api, nonsense), 422, "invalid_request");
  refused(await api.GET("/tasks", { params: { query: { limit: 201 } } }), 422, "invalid_request");

  const problem = refused(await api.POST("/tasks", { body: { title: "" } }), 422, "invalid_request");
  assert.ok("errors" in problem);
  assert.deepEqual(problem.errors, [{ pointer: "/title", code: "too_short", detail: "At least 1 character." }]);

  allRefused(await everyBody(api, NO_TASK, { title: "x".repeat(70_000) }), 413, "content_too_large");
  const text = { "Content-Type": "text/plain" };
  allRefused(await everyBody(api, NO_TASK, { title: "Buy milk" }, text), 415, "unsupported_media_type");
}

async function withoutAValidToken(): Promise<void> {
  allRefused(await everyOperation(connect(), NO_TASK), 401, "token_missing");
  allRefused(await everyOperation(connect(setting("ALICE_YESTERDAY")), NO_TASK), 401, "token_expired");
  allRefused(await everyOperation(connect("no token at all"), NO_TASK), 401, "token_invalid");
}
