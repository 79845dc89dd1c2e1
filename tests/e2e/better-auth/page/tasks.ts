import { createAuthClient } from "better-auth/client";
import { jwtClient } from "better-auth/client/plugins";

const API = process.env.NEXT_PUBLIC_API_URL;
let token: Promise<string | undefined> | undefined; // one for all requests that wait for it

export const authClient = createAuthClient({
  plugins: [jwtClient()],
  fetchOptions: {
    // Whatever else is asked of Better Auth may change who is signed in: a GET, too, as a magic link's is.
    onResponse: ({ request }) => void (/\/(token|get-session)(\?|$)/.test(String(request.url)) || (token = undefined)),
  },
});

async function newToken() {
  const { data, error } = await authClient.token();
  if (error && error.status !== 401) throw new Error(`no token now: ${error.status}`); // which is not: signed out
  return data?.token;
}

function forget(asked: typeof token) {
  if (token === asked) token = undefined;
}

function takeToken() {
  const asked = newToken();
  asked.then((taken) => taken || forget(asked), () => forget(asked));
  return (token = asked);
}

function userOf(token: string): string {
  return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub;
}

export async function api(path: string, init: RequestInit = {}): Promise<Response> {
  const send = (token: string) => {
    const headers = new Headers(init.headers);
    headers.set("Authorization", `Bearer ${token}`);
    return fetch(`${API}${path}`, { ...init, headers });
  };
  const asked = token ?? takeToken();
  const known = await asked;
  if (!known) throw new Error("not signed in");
  const response = await send(known);
  if (response.status !== 401) return response; // a 503 too: it is no reason to sign anybody out
  forget(asked);
  const renewed = await (token ?? takeToken());
  // Somebody else may have signed in meanwhile, in another tab: what one asked for is not done as another.
  return renewed && userOf(renewed) === userOf(known) ? send(renewed) : response;
}
