// A client for the API. Which paths, parameters, bodies and answers there are, it knows from openapi.json alone.

import createClient, { type Middleware } from "openapi-fetch";
import type { components, operations, paths } from "./api.js";
import { setting } from "./settings.js";

export type Api = ReturnType<typeof connect>;
export type Task = components["schemas"]["TaskRead"];
export type Query = NonNullable<operations["listTasks"]["parameters"]["query"]>;
export type Problem = components["schemas"]["Problem"] | components["schemas"]["InvalidRequest"];

/** What each call resolves to: `data`, or else `error`. */
export type Answer<Data = unknown> = { data?: Data; error?: Problem; response: Response };

/** A client that signs its requests with this token; without one it is nobody. */
export function connect(token?: string) {
  const api = createClient<paths>({ baseUrl: setting("API_URL") });
  if (token !== undefined) {
    api.use(signedWith(token));
  }
  api.use(printed);
  return api;
}

function signedWith(token: string): Middleware {
  return {
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${token}`);
    },
  };
}

/** For the test that runs this program, which compares what was answered with what openapi.json documents. */
const printed: Middleware = {
  onResponse({ request, schemaPath, response }) {
    console.log(request.method, schemaPath, response.status);
  },
};

/** The data of an answer. A refusal is thrown. */
export function given<Data>({ data, error, response }: Answer<Data>): Data {
  if (data === undefined) {
    throw new Error(`${response.status} ${error?.code}: ${error?.detail}`);
  }
  return data;
}

/** A header that openapi.json knows, or null when it was not sent. */
export function header(response: Response, name: keyof components["headers"]): string | null {
  return response.headers.get(name);
}

export function etag(response: Response): string {
  const value = header(response, "ETag");
  if (value === null) {
    throw new Error("There is no ETag.");
  }
  return value;
}
