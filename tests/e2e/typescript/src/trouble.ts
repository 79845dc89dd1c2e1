// Days on which something is wrong: the test that runs this program has seen to it before.

import assert from "node:assert/strict";
import { type Answer, connect, given, header } from "./client.js";
import { allRefused, everyOperation, NO_TASK, refused } from "./expect.js";
import { setting } from "./settings.js";

/** The caller has sent as much as the rate limit allows. */
export async function limited(): Promise<void> {
  const alice = connect(setting("ALICE"));
  const answer = await untilRefused(() => alice.GET("/tasks"));
  refused(answer, 429, "rate_limited");
  assert.match(header(answer.response, "RateLimit") ?? "", /;r=0;/);
  allRefused(await everyOperation(alice, NO_TASK), 429, "rate_limited");
  given(await connect(setting("BOB")).GET("/tasks"));
}

/** Another request with the same Idempotency-Key is still being answered. */
export async function inFlight(): Promise<void> {
  const alice = connect(setting("ALICE"));
  const params = { header: { "Idempotency-Key": setting("KEY_IN_FLIGHT") } };
  const answer = await alice.POST("/tasks", { params, body: { title: "Buy milk" } });
  refused(answer, 409, "idempotency_key_in_flight");
}

/** The database refuses what the service needs. */
export async function broken(): Promise<void> {
  allRefused(await everyOperation(connect(setting("ALICE")), NO_TASK), 500, "internal_error");
}

/** The database does not run. */
export async function away(): Promise<void> {
  const nobody = connect();
  allRefused(await everyOperation(connect(setting("ALICE")), NO_TASK), 503, "database_unavailable");
  // The service looks at its database once a second at most, so it may take as long to notice.
  refused(await untilRefused(() => nobody.GET("/readyz")), 503, "database_unavailable");
  given(await nobody.GET("/livez"));
}

async function untilRefused(call: () => Promise<Answer>): Promise<Answer> {
  let answer = await call();
  while (answer.response.ok) {
    answer = await call();
  }
  return answer;
}
