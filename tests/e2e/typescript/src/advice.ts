// What a program does about a refusal. The compiler sees to it that no code is forgotten.

import type { Problem } from "./client.js";

export type Advice = "take a new token" | "sign in" | "mend the request" | "read again" | "wait and try again" | "report it";

export function adviceFor({ code }: Problem): Advice {
  switch (code) {
    case "token_expired":
    case "token_invalid": // its key may have been withdrawn; a second one that is refused means: sign in
      return "take a new token";
    case "token_missing":
      return "sign in";
    case "bad_request":
    case "invalid_request":
    case "idempotency_key_reused":
    case "content_too_large":
    case "head_too_large":
    case "unsupported_media_type":
    case "method_not_allowed":
    case "not_found":
      return "mend the request";
    case "task_not_found":
    case "precondition_failed":
    case "outcome_unknown": // it may have been done: sent again without an Idempotency-Key, it could be done twice
      return "read again";
    case "idempotency_key_in_flight":
    case "rate_limited":
    case "database_unavailable":
    case "database_busy":
    case "not_ready":
    case "keys_unavailable":
      return "wait and try again";
    case "internal_error":
      return "report it";
    default:
      return code satisfies never;
  }
}
