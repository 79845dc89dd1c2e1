"""Weakenings of the Python that stands between a request and the policies."""

from collections.abc import Iterator
from pathlib import Path

from mutants import Mutant

CONNECTION = "service/database/connection.py"
TRANSACTION = "service/database/transaction.py"
VERIFIER = "service/identity/verifier.py"
BEARER = "service/identity/bearer.py"
CALLER = "service/identity/caller.py"
APP = "service/app.py"
GUARD = "service/database/guard.py"
KEYS = "service/identity/keys.py"
JWKS = "service/identity/jwks.py"

# name: (file, what stands there, what stands there instead, ...). What stands there has to be there once.
CHANGES: dict[str, tuple[str, ...]] = {
    "SET in place of SET LOCAL": (CONNECTION, 'return f"SET LOCAL app', 'return f"SET app'),
    "the literal unquoted": (CONNECTION, """caller.user_id.replace("'", "''")""", "caller.user_id"),
    "quotes in a user id": (CALLER, r"[ !-&(-\[\]-~]{1,255}", r"[ -~]{1,255}"),
    "any user id": (CALLER, r"[ !-&(-\[\]-~]{1,255}", r"[\s\S]*"),
    "a transaction without a caller": (
        CONNECTION,
        'raise LookupError("no transaction without a caller")',
        'begin = "BEGIN"',
    ),
    "the caller is not forgotten": (CONNECTION, "begin, self._begin = self._begin, None", "begin = self._begin"),
    "a doubtful connection is reused": (CONNECTION, "self._connection.terminate()", "pass"),
    "the commit comes after the answer": (TRANSACTION, 'scope="function"', 'scope="request"'),
    "the guard is off at the start": (APP, "await require_no_faults(engine)", "pass"),
    "the guard is off in /readyz": (GUARD, "self._found = await find_faults(self._engine)", "self._found = []"),
    "no look at the role": (GUARD, "FROM me WHERE rolbypassrls", "FROM me WHERE false"),
    "no look at the wall": (GUARD, "NOT polpermissive AND polcmd = '*'", "polcmd = '*'"),
    "any audience": (VERIFIER, '"verify_aud": True', '"verify_aud": False'),
    "any issuer, but for PyJWT": (VERIFIER, "if issuer != self._issuer:", "if False:"),
    "any issuer": (VERIFIER, "if issuer != self._issuer:", "if False:", '"verify_iss": True', '"verify_iss": False'),
    "any algorithm": (VERIFIER, "if not isinstance(alg, str) or alg not in self._algorithms:", "if False:"),
    "another algorithm than the key's": (VERIFIER, "if key.algorithm_name != alg:", "if False:"),
    "no expiry": (VERIFIER, '"verify_exp": True', '"verify_exp": False'),
    "a token of the future": (VERIFIER, '"verify_iat": True', '"verify_iat": False'),
    "a token for later": (VERIFIER, '"verify_nbf": True', '"verify_nbf": False'),
    "any life": (VERIFIER, "<= self._longest_life", "<= 1e12"),
    "any signature": (VERIFIER, "verify_signature=not seen", "verify_signature=False"),
    "any remembered key": (VERIFIER, "checked.key is key", "True"),
    "any typ": (VERIFIER, "not in _TYPES or", "in () or"),
    "crit ignored": (VERIFIER, ' or "crit" in header', ""),
    "padding taken": (VERIFIER, r'[\w-]+\.[\w-]+\.[\w-]+"', r'[\w-]+\.[\w-]+\.[\w=-]+"'),
    "a secret in the key set": (
        JWKS,
        'if key.get("kty") == "oct" or not _SECRET_MEMBERS.isdisjoint(key):',
        "if False:",
    ),
    "keys for ever": (KEYS, "return self._set if self._seconds_left() >= 0 else None", "return self._set"),
    "every path is public": (BEARER, 'if conn.scope["path"] in self._public:', "if True:"),
    "public by prefix": (
        BEARER,
        'conn.scope["path"] in self._public',
        'conn.scope["path"].startswith(tuple(self._public))',
    ),
    "the first of two headers": (BEARER, "if len(headers) > 1:", "if False:"),
}


def mutants(root: Path) -> Iterator[Mutant]:
    """All of them.

    Raises:
        ValueError: when what a mutant changes is not there, or there more than once.
    """
    for name, (file, *changes) in CHANGES.items():
        text = (root / file).read_text()
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            if text.count(old) != 1:
                raise ValueError(f"{name}: {old!r} is in {file} {text.count(old)} times")
            text = text.replace(old, new)
        yield Mutant(file, name, file, text, "python")
