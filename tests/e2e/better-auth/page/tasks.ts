import { createAuthClient } from "better-auth/client";
import { jwtClient } from "better-auth/client/plugins";

export const authClient = createAuthClient({ plugins: [jwtClient()] });
const API = process.env.NEXT_PUBLIC_API_URL;
let token: string | undefined;

async function newToken() {
  const { data } = await authClient.token();
  return (token = data?.token);
}

export async function api(path: string, init: RequestInit = {}): Promise<Response> {
  const send = (token: string) =>
    fetch(`${API}${path}`, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } });
  const known = token ?? (await newToken());
  if (!known) throw new Error("not signed in");
  const response = await send(known);
  if (response.status !== 401) return response; // 503 too: it is no reason to sign anybody out
  const renewed = await newToken();
  return renewed ? send(renewed) : response;
}

export async function signOut() {
  token = undefined;
  await authClient.signOut();
}
