// What the scenarios expect of answers.

import assert from "node:assert/strict";
import { adviceFor } from "./advice.js";
import type { operations } from "./api.js";
import { type Answer, type Api, header, type Problem } from "./client.js";

/** The id of a task that nobody has. */
export const NO_TASK = "01890a5d-ac96-774b-bcce-b302099a8057";

/** Expect a refusal with this status and code, and give it. */
export function refused({ error, response }: Answer, status: number, code: Problem["code"]): Problem {
  assert.ok(error, `${response.status} instead of ${status} ${code}`);
  assert.deepEqual([response.status, error.status, error.code], [status, status, code]);
  assert.equal(response.headers.get("Content-Type"), "application/problem+json");
  assert.equal(error.request_id, header(response, "X-Request-Id"));
  assert.equal(header(response, "Retry-After") !== null, adviceFor(error) === "wait and try again");
  return error;
}

/** Expect each operation to be refused. */
export function allRefused(answers: Record<string, Answer>, status: number, code: Problem["code"]): void {
  for (const answer of Object.values(answers)) {
    refused(answer, status, code);
  }
}

/** Expect that what the client has is still the newest. */
export function notModified({ data, response }: Answer): void {
  assert.equal(response.status, 304);
  assert.equal(data, undefined);
}

type Health = "getLiveness" | "getReadiness";

/** Call each operation on tasks. One that openapi.json adds does not compile until it is called here, too. */
export async function everyOperation(api: Api, id: string) {
  return {
    listTasks: await api.GET("/tasks"),
    createTask: await api.POST("/tasks", { body: { title: "Buy milk" } }),
    getTask: await api.GET("/tasks/{id}", { params: { path: { id } } }),
    ...(await everyChange(api, id)),
  } satisfies Record<Exclude<keyof operations, Health>, Answer>;
}

/** Call each operation that changes a task. */
export async function everyChange(api: Api, id: string, header: { "If-Match"?: string } = {}) {
  const params = { path: { id }, header };
  const body = { title: "Buy bread" };
  return {
    replaceTask: await api.PUT("/tasks/{id}", { params, body }),
    updateTask: await api.PATCH("/tasks/{id}", { params, body }),
    deleteTask: await api.DELETE("/tasks/{id}", { params }),
  };
}

/** Call each operation that takes a body. */
export async function everyBody(api: Api, id: string, body: { title: string }, headers: Record<string, string> = {}) {
  const params = { path: { id } };
  return {
    createTask: await api.POST("/tasks", { body, headers }),
    replaceTask: await api.PUT("/tasks/{id}", { params, body, headers }),
    updateTask: await api.PATCH("/tasks/{id}", { params, body, headers }),
  };
}
