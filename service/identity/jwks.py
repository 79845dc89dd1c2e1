"""A JWKS document (RFC 7517 §5), and which of its keys a token may be signed with."""

import json
import logging
from collections.abc import Collection
from typing import Any

import jwt

log = logging.getLogger(__name__)

LONGEST_DOCUMENT = 256 * 1024  # bytes
_MOST_KEYS = 100
# What a private or a symmetric key has and a public one has not (RFC 7518 §6).
_SECRET_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


class NoKeys(ValueError):
    """There is nothing to check tokens with. Its text is a clause, fit to be logged."""


class KeySet:
    """Public keys by their `kid`.

    Args:
        document: the JSON text. A key in it that is symmetric, private, weak, without a `kid`, of an unknown kind, or
            does not fit its `alg`, or whose `kid` another has, is left out with a warning: no token can then be signed
            with it.
        algorithms: the `alg` values that may be used. Keys for others are left out, too.

    Raises:
        NoKeys: when it is no JWKS document, or when nothing in it is usable.
    """

    def __init__(self, document: bytes, algorithms: Collection[str]) -> None:
        self._keys: dict[str, jwt.PyJWK] = {}
        for position, key in enumerate(_listed(document)):
            try:
                usable = _usable(key, algorithms)
                if usable.key_id in self._keys:
                    raise ValueError("its kid stands there twice")
            except ValueError as error:
                log.warning("key %d of the key set is left out: %s", position, error)
            else:
                self._keys[str(usable.key_id)] = usable
        if not self._keys:
            raise NoKeys("it holds no usable public key")

    def find(self, kid: str) -> jwt.PyJWK | None:
        """The key of that id, or None."""
        return self._keys.get(kid)


def _listed(document: bytes) -> list[Any]:
    try:
        keys = json.loads(document)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        keys = None
    if not isinstance(keys, list):
        raise NoKeys('it is no JWKS document, {"keys": [...]}')
    if len(keys) > _MOST_KEYS:
        raise NoKeys(f"it lists more than {_MOST_KEYS} keys")
    return keys


def _usable(key: Any, algorithms: Collection[str]) -> jwt.PyJWK:
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str) or not key["kid"]:
        raise ValueError("it has no kid")
    if key.get("kty") == "oct" or not _SECRET_MEMBERS.isdisjoint(key):
        raise ValueError("it is a secret, and only public keys belong here")
    if key.get("use", "sig") != "sig" or key.get("key_ops", ["verify"]) != ["verify"]:
        raise ValueError("it is not for checking signatures")
    try:
        usable = jwt.PyJWK(key)
        prepared = usable.Algorithm.prepare_key(usable.key)  # which compares an elliptic curve with the alg
        weakness = usable.Algorithm.check_key_length(prepared)
    except Exception:  # whatever a parser makes of it, and without its text, which quotes the key
        raise ValueError("it is malformed, of an unknown kind, or does not fit its alg") from None
    if usable.algorithm_name not in algorithms:
        raise ValueError("its alg is not among AUTH_ALGORITHMS")
    if weakness:
        raise ValueError("it is too short for its alg")
    return usable
