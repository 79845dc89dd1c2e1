// What tests can have happen to the server. Each hook returns what the test is told.

/**
 * @param door opens and closes the server to the network
 * @param tables the database of Better Auth
 * @param jwks when the key set was asked for, in `hits`, in seconds; and the `delay` of its answers, in milliseconds
 */
export function hooks(door, tables, jwks) {
  return {
    /** As if the rotation interval had passed: Better Auth makes a key when it next signs, and lists the old ones too. */
    rotate() {
      const now = new Date();
      for (const key of tables.jwks) if (key.expiresAt > now) key.expiresAt = now;
      return null;
    },
    /** As if the grace period of a key had passed: it is listed no more. */
    drop({ kid }) {
      const key = tables.jwks.find(({ id }) => id === kid);
      key.expiresAt = new Date(0);
      return null;
    },
    /** As if somebody had stolen the keys: none of them is listed any more. */
    withdraw() {
      for (const key of tables.jwks) key.expiresAt = new Date(0);
      return null;
    },
    away: () => door.close(),
    back: () => door.open(),
    delay({ milliseconds }) {
      jwks.delay = milliseconds;
      return null;
    },
    jwks_hits: () => jwks.hits,
  };
}
