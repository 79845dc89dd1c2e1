import { createAuthClient } from "better-auth/client";
import { jwtClient } from "better-auth/client/plugins";

export const authClient = createAuthClient({ plugins: [jwtClient()] });
const API = process.env.NEXT_PUBLIC_API_URL;
let token: string | undefined;

async function newToken() {
  const { data, error } = await authClient.token();
  if (error && error.status !== 401) throw new Error(`no token now: ${error.status}`); // no reason to sign anybody out
  return (token = data?.token);
}

export async function api(path: string, init: RequestInit = {}): Promise<Response> {
  const send = (token: string) => {
    const headers = new Headers(init.headers);
    headers.set("Authorization", `Bearer ${token}`);
    return fetch(`${API}${path}`, { ...init, headers });
  };
  const known = token ?? (await newToken());
  if (!known) throw new Error("not signed in");
  const response = await send(known);
  if (response.status !== 401) return response; // a 503 too
  const renewed = await newToken();
  return renewed ? send(renewed) : response;
}

export async function signOut() {
  token = undefined;
  await authClient.signOut();
}
