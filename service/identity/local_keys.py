"""Keys that need no network: a JWKS file, or a secret that is shared."""

import logging
import os
import stat
import time
from collections.abc import Collection
from pathlib import Path

import jwt
from jwt.utils import base64url_encode
from pydantic import SecretStr

from service.identity.jwks import LONGEST_DOCUMENT, KeySet, NoKeys
from service.identity.keys import Keys
from service.settings import SettingsError

log = logging.getLogger(__name__)

_LOOK_EVERY_SECONDS = 1.0


class KeysOfFile(Keys):
    """The keys of a JWKS file, which is read again when it changes. A broken file never replaces good keys.

    Raises:
        SettingsError: when there is no usable key in it to begin with.
    """

    def __init__(self, path: Path, algorithms: Collection[str]) -> None:
        self._path = path
        self._algorithms = algorithms
        try:
            self._version = self._version_now()
            self._set = self._read()
        except (OSError, NoKeys) as error:
            raise SettingsError(f"AUTH_JWKS_FILE: {path.absolute()} cannot be used: {_reason(error)}") from None
        self._told = self._version
        self._looked_at = time.monotonic()

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        if time.monotonic() - self._looked_at >= _LOOK_EVERY_SECONDS:
            self._look()
        return self._set.find(kid) if kid else None

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        version = self._version_now()
        if version == self._version:
            return
        try:
            self._set = self._read()
        except (OSError, NoKeys) as error:
            if version != self._told:
                self._told = version
                log.warning(
                    "AUTH_JWKS_FILE has changed and cannot be used; the keys of before stay: %s", _reason(error)
                )
            if isinstance(error, OSError):
                return  # which may pass
        self._version = version

    def _version_now(self) -> tuple[int, ...] | None:
        """What is another when the file is: None, when it is not there."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino

    def _read(self) -> KeySet:
        # A pipe, say, would keep the whole service waiting.
        with open(self._path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NoKeys("it is no file")
            document = file.read(LONGEST_DOCUMENT + 1)
        if len(document) > LONGEST_DOCUMENT:
            raise NoKeys(f"it is longer than {LONGEST_DOCUMENT} bytes")
        return KeySet(document, self._algorithms)


def _reason(error: OSError | NoKeys) -> str:
    return str((isinstance(error, OSError) and error.strerror) or error)


class SharedSecret(Keys):
    """One secret that whoever holds it can both sign and check tokens with (HS256, RFC 7518 §3.2).

    Args:
        secret: 32 bytes at least.
    """

    ALGORITHM = "HS256"

    def __init__(self, secret: SecretStr) -> None:
        encoded = base64url_encode(secret.get_secret_value().encode()).decode()
        self._key = jwt.PyJWK({"kty": "oct", "k": encoded, "alg": self.ALGORITHM})

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """The secret: there is no other, whatever a signer calls it."""
        return self._key
