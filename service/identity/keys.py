"""The keys that tokens may be signed with (RFC 7517)."""

import json
import logging
from pathlib import Path
from typing import Any

import jwt

from service.settings import SettingsError

log = logging.getLogger(__name__)


class KeySet:
    """Public keys by their `kid`.

    Args:
        keys: JWKs as a JWKS document lists them. One that is symmetric, private, without a `kid` or of an
            unknown kind, or whose `kid` another has, is left out with a warning: no token can then be signed with it.
    """

    def __init__(self, keys: list[Any]) -> None:
        self._keys: dict[str, jwt.PyJWK] = {}
        for position, key in enumerate(keys):
            try:
                usable = _usable(key)
            except ValueError as error:
                log.warning("key %d of the key set is left out: %s", position, error)
                continue
            if usable.key_id in self._keys:
                log.warning("key %d of the key set is left out: its kid stands there twice", position)
            else:
                self._keys[str(usable.key_id)] = usable

    @classmethod
    def from_file(cls, path: Path) -> "KeySet":
        """Read a JWKS file.

        Raises:
            SettingsError: when the file is no JWKS document, or holds no usable key.
        """
        try:
            document = json.loads(path.read_bytes())
            key_set = cls(document["keys"])
        except (OSError, ValueError, TypeError, KeyError):
            raise SettingsError(f'AUTH_JWKS_FILE: {path} is no JWKS document, {{"keys": [...]}}') from None
        if not key_set._keys:
            raise SettingsError(f"AUTH_JWKS_FILE: {path} holds no usable public key")
        return key_set

    def find(self, kid: str) -> jwt.PyJWK | None:
        """The key of that id, or None."""
        return self._keys.get(kid)


def _usable(key: Any) -> jwt.PyJWK:
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str) or not key["kid"]:
        raise ValueError("it has no kid")
    if key.get("kty") == "oct" or "d" in key:
        raise ValueError("it is a secret, and only public keys belong here")
    if key.get("use", "sig") != "sig":
        raise ValueError("it is not for signatures")
    try:
        return jwt.PyJWK(key)
    except Exception:  # whatever a parser makes of it, and without its text, which quotes the key
        raise ValueError("it is malformed, or of an unknown kind") from None
