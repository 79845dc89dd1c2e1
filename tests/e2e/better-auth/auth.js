// Better Auth as a user of this API configures it: people sign up with a password, and a session gives them a JWT.

import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { jwt } from "better-auth/plugins";

const DAYS = 24 * 3600;

/** The server at `baseURL`, whose rows are in `tables`. The `mistakes` are those of docs/better-auth.md. */
export function configure(baseURL, tables, { algorithm, cookieCache, rateLimitSeconds, expirationTime, mistakes }) {
  return betterAuth({
    baseURL: mistakes.includes("no-base-url") ? undefined : baseURL,
    basePath: mistakes.includes("base-path") ? "/auth" : undefined,
    user: { additionalFields: mistakes.includes("field-aud") ? { aud: { type: "string", required: false } } : {} },
    secret: "made-up-and-long-enough-for-better-auth",
    database: memoryAdapter(tables),
    emailAndPassword: { enabled: true },
    // With the cache, a cookie holds a JWT that is signed by the same keys, for another audience.
    session: { cookieCache: { enabled: cookieCache, strategy: "jwt" } },
    plugins: [
      jwt({
        jwks: { keyPairConfig: { alg: algorithm }, rotationInterval: 30 * DAYS, gracePeriod: 30 * DAYS },
        jwt: { expirationTime, definePayload: mistakes.includes("whole-user") ? undefined : () => ({}) },
        sessionCookieCache: cookieCache,
        ...(mistakes.includes("shared-secret") ? { secret: "a secret of 32 bytes, which nobody reads", algorithm: "HS256" } : {}),
      }),
    ],
    rateLimit: { enabled: rateLimitSeconds > 0, window: rateLimitSeconds },
    telemetry: { enabled: false },
  });
}
