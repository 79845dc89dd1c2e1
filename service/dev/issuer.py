"""Stands in for Better Auth in development: a key pair in .dev/, and tokens with the claims that it sends."""

import json
import os
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jwt.algorithms import OKPAlgorithm

from service.dev import DEV_FOLDER, DevError
from service.identity.caller import Caller

ISSUER = "http://localhost:3000"
_KID = "development"
_LONGEST_LIFE = 24 * 3600
_LEEWAY = 10  # for which the API takes a token that has just expired


def _write(file: Path, document: dict[str, Any]) -> None:
    """For the eyes of this user alone, and whole or not at all."""
    half = file.with_suffix(".half")
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as written:
        json.dump(document, written)
    half.replace(file)


class Issuer:
    """Signs development tokens.

    Args:
        folder: where the private key and its JWKS file are; .dev/ unless given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or DEV_FOLDER
        self._private_key = folder / "private-key.json"
        self.jwks_file = folder / "jwks.json"

    def ensure_keys(self) -> None:
        """Make the key pair, unless it is there.

        Raises:
            DevError: when it cannot be written.
        """
        if self._private_key.exists() and self.jwks_file.exists():
            return
        private = Ed25519PrivateKey.generate()
        names = {"kid": _KID, "alg": "EdDSA", "use": "sig"}
        public_key = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True) | names
        try:
            _write(self._private_key, OKPAlgorithm.to_jwk(private, as_dict=True) | names)
            _write(self.jwks_file, {"keys": [public_key]})
        except OSError as error:
            raise DevError(f"no keys can be written: {error}") from None

    def derived_secret(self, purpose: str) -> str:
        """A secret that lasts as long as the key pair: HKDF (RFC 5869) of the private key, as 64 hexadecimal digits."""
        derive = HKDF(hashes.SHA256(), length=32, salt=None, info=purpose.encode())
        return derive.derive(self._private_key.read_bytes()).hex()

    def token(self, user_id: str, *, expires_in: int) -> str:
        """A token for this user, which expires in so many seconds (a negative number: has expired).

        Raises:
            DevError: when there is no development set-up, `user_id` cannot be one, or the API would refuse the
                token for its long life.
        """
        if expires_in > _LONGEST_LIFE:
            raise DevError(f"no token: it may live {_LONGEST_LIFE} seconds at most")
        try:
            Caller(user_id)
            key = jwt.PyJWK(json.loads(self._private_key.read_text()))
        except FileNotFoundError:
            raise DevError("there is no development set-up here: run `make dev` first") from None
        except (OSError, ValueError, TypeError, AttributeError, jwt.PyJWTError) as error:
            raise DevError(f"no token: {error}") from None
        now = int(time.time())
        claims = {
            "iat": now + min(expires_in - 1 - _LEEWAY, 0),
            "exp": now + expires_in - (_LEEWAY if expires_in < 0 else 0),
            "sub": user_id,
            "iss": ISSUER,
            "aud": ISSUER,
        }
        return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": _KID, "typ": None})
