// Runs Better Auth and the page on a port of its own. Commands come by stdin and are answered on stdout, one JSON a line:
// {"do": "rotate"} gets {"done": null}. The first line tells the URL. It all ends when stdin does.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { toNodeHandler } from "better-auth/node";
import { configure } from "./auth.js";
import { hooks } from "./hooks.js";

const FILES = {
  "/": ["page/index.html", "text/html; charset=utf-8"],
  "/page.js": ["dist/page.js", "text/javascript; charset=utf-8"],
};

const { values } = parseArgs({
  options: {
    algorithm: { type: "string", default: "EdDSA" },
    "cookie-cache": { type: "boolean", default: false },
    "rate-limit-seconds": { type: "string", default: "0" },
    "expiration-time": { type: "string", default: "15m" },
    mistake: { type: "string", multiple: true, default: [] },
  },
});

const tables = { user: [], session: [], account: [], verification: [], jwks: [] };
const jwks = { hits: [], delay: 0 };
const http = createServer();
const door = {
  port: 0, // any that is free, and then always the same
  async open() {
    if (http.listening) return null;
    http.listen(this.port, "127.0.0.1");
    await once(http, "listening");
    this.port = http.address().port;
    return null;
  },
  async close() {
    const closed = once(http, "close");
    http.close();
    http.closeAllConnections();
    await closed;
    return null;
  },
};

await door.open();
const url = `http://localhost:${door.port}`;
const auth = toNodeHandler(
  configure(url, tables, {
    algorithm: values.algorithm,
    cookieCache: values["cookie-cache"],
    rateLimitSeconds: Number(values["rate-limit-seconds"]),
    expirationTime: values["expiration-time"],
    mistakes: values.mistake,
  }),
);

const commands = hooks(door, tables, jwks);

http.on("request", async (request, response) => {
  if (request.method === "GET" && request.url === "/api/auth/jwks") {
    jwks.hits.push(Date.now() / 1000);
    await setTimeout(jwks.delay);
  }
  if (/^\/(api\/)?auth\//.test(request.url)) return auth(request, response);
  if (request.method === "POST" && request.url === "/withdraw-keys") return response.end(commands.withdraw());
  if (!(request.url in FILES)) return response.writeHead(404).end();
  const [path, type] = FILES[request.url];
  response.writeHead(200, { "Content-Type": type }).end(await readFile(new URL(path, import.meta.url)));
});

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
say({ url });
for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...parameters } = JSON.parse(line);
  say({ done: await commands[name](parameters) });
}
process.exit();
