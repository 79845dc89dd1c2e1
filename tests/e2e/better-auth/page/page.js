// A frontend: it signs people up with Better Auth's own client, and calls the API, which is another origin.
// Each scenario tells what the page could see.

import { api as ask, authClient } from "./tasks.ts"; // as docs/better-auth.md has it

const UNTIL_THE_SERVICE_KNOWS = 2500; // milliseconds: it refreshes its keys every second
const EXPOSED = ["ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "WWW-Authenticate", "X-Request-Id"];

function checked({ data, error }) {
  if (error) throw new Error(`Better Auth: ${error.status} ${error.message}`);
  return data;
}

async function register() {
  const secret = crypto.randomUUID();
  return checked(await authClient.signUp.email({ name: "Ada", email: `${secret}@example.com`, password: secret }));
}

async function signUp() {
  await register();
  return checked(await authClient.token()).token;
}

/** By the guide, with headers in the form that is easily lost. */
function create() {
  const headers = new Headers({ "Content-Type": "application/json" });
  return ask("/tasks", { method: "POST", headers, body: JSON.stringify({ title: "Buy milk" }) });
}

/** Send a request, and give its status, its body and those of its headers that the page may read. */
async function send(url, token, { headers, body, ...options } = {}) {
  const authorization = token ? { Authorization: `Bearer ${token}` } : {};
  const json = body ? { "Content-Type": "application/json" } : {};
  const response = await fetch(url, {
    ...options,
    headers: { ...authorization, ...json, ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  const readable = EXPOSED.filter((name) => response.headers.has(name));
  return {
    status: response.status,
    body: text ? JSON.parse(text) : null,
    headers: Object.fromEntries(readable.map((name) => [name, response.headers.get(name)])),
  };
}

/** How a request fails: the name of the error. */
async function failure(url, token) {
  try {
    return (await send(url, token)).status;
  } catch (error) {
    return error.name;
  }
}

window.scenarios = {
  /** Create, list, read, update and delete a task. */
  async signedIn(api) {
    const token = await signUp();
    const created = await send(`${api}/tasks`, token, { method: "POST", body: { title: "Buy milk" } });
    const task = new URL(created.headers.Location, api);
    await send(`${api}/tasks`, token, { method: "POST", body: { title: "Bake bread" } });
    const listed = await send(`${api}/tasks?limit=1`, token);
    const read = await send(task, token);
    const ifRead = { "If-Match": read.headers.ETag };
    const updated = await send(task, token, { method: "PATCH", headers: ifRead, body: { status: "Done" } });
    const late = await send(task, token, { method: "PATCH", headers: ifRead, body: { status: "Todo" } });
    const deleted = await send(task, token, { method: "DELETE" });
    return { created, listed, read, updated, late, deleted, gone: await send(task, token) };
  },

  signedOut: async (api) => ({ none: await send(`${api}/tasks`), bad: await send(`${api}/tasks`, "not.a.token") }),

  /** A token whose key is withdrawn is replaced without a word; a session that is over is not. */
  async byTheGuide() {
    await register();
    const statuses = await Promise.all([create(), create(), create()]).then((answers) => answers.map(({ status }) => status));
    await fetch("/withdraw-keys", { method: "POST" });
    await authClient.token(); // as anybody's next token does, this one makes a new key
    await new Promise((resolve) => setTimeout(resolve, UNTIL_THE_SERVICE_KNOWS));
    statuses.push((await create()).status);
    const tokens = performance.getEntriesByType("resource").filter(({ name }) => name.endsWith("/api/auth/token")).length;
    await authClient.signOut();
    const signedOut = await ask("/tasks").then(({ status }) => status, (error) => error.message);
    return { statuses, tokens, signedOut };
  },

  /** Who owns what is created after somebody else has signed in, after a sign-out and without one. */
  async inTurns() {
    const turns = [];
    for (const leave of [() => authClient.signOut(), () => {}, () => {}]) {
      const { user } = await register();
      const task = await create().then((answer) => answer.json());
      turns.push(task.owner_id === user.id);
      await leave();
    }
    return turns;
  },

  /** Something of the service is broken. */
  broken: async (api) => send(`${api}/tasks`, await signUp()),

  /** What the API tells the page, with and without a token that was given to it. */
  given: async (api, token) => ({ without: await failure(`${api}/tasks`), with: await failure(`${api}/tasks`, token) }),
};
