"""Every setting, in one place. Serving reads the environment only here; httpx reads HTTPS_PROXY and its like, too."""

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_HTTP_URL = TypeAdapter(HttpUrl)

Algorithm = Literal["EdDSA", "ES256", "ES512", "RS256", "PS256"]


class SettingsError(Exception):
    """A setting is missing or contradicts another. Its text is one line for each, fit to be shown."""


def _comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def exact_origin(origin: str) -> str:
    """An origin as RFC 6454 §6.2 writes it, which is what a browser sends: no path, no slash at the end.

    Raises:
        ValueError: when it is none.
    """
    parts = urlsplit(origin)
    plain = f"{parts.scheme}://{parts.netloc}".lower()
    usual_port = {"http": ":80", "https": ":443"}.get(parts.scheme)
    if usual_port is None or origin != plain or "*" in origin or origin.endswith(usual_port):
        raise ValueError(
            "write an origin as a browser sends it, https://app.example.com: in lower case, without the usual port, "
            "a path, a final slash or *"
        )
    return origin


def _database_url(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("write postgresql://ROLE:PASSWORD@HOST/DATABASE")
    return url


def _long_enough(key: SecretStr) -> SecretStr:
    secret = key.get_secret_value()
    if secret != secret.strip(" \t\r\n\"'"):
        raise ValueError("write it without spaces or quotes around it")
    if len(secret.encode()) < 32 or "choose" in secret:
        raise ValueError("write 32 characters at least, of your own; openssl rand -hex 32 makes some")
    return key


def _storage(storage: SecretStr) -> SecretStr:
    try:
        understood = re.fullmatch(r"memory|rediss?://[^/?#\s]+(/\d{0,9})?", storage.get_secret_value())
        _ = urlsplit(storage.get_secret_value()).port
    except ValueError:  # which quotes the port
        understood = None
    if not understood:
        raise ValueError("write memory, or redis://HOST:PORT/NUMBER (rediss:// with TLS)")
    return storage


def _as_tokens_have_it(name: str) -> str:
    if not name or re.search(r"[\s\"'#]", name):
        raise ValueError("write it as tokens have it, without spaces, quotes or a comment")
    return name


def _own_network(host: str) -> bool:
    """Whether a name or an address means something only here, so that nobody outside can stand in for it."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return bool(re.fullmatch(r"[a-z][a-z0-9_-]*|.+\.(internal|localhost|cluster\.local)", host))


def _keys_url(url: str) -> str:
    """As it is asked for: what a browser would make of it, without spaces and with an IDN in ASCII."""
    try:
        parsed = _HTTP_URL.validate_python(url)
    except ValidationError:
        parsed = None
    if parsed is None or not parsed.host or not parsed.port or parsed.username or parsed.password or parsed.fragment:
        raise ValueError("write https://HOST/api/auth/jwks")
    if parsed.scheme == "http" and not _own_network(parsed.host.strip("[]")):
        raise ValueError("write https://: whoever can change the keys on their way can sign in as anybody")
    return str(parsed)


def _issuers_keys_url(issuer: str) -> str:
    try:
        if "?" in issuer:
            raise ValueError("write it without ?")
        return _keys_url(issuer.rstrip("/") + "/api/auth/jwks")
    except ValueError as error:
        raise ValueError(f"AUTH_ISSUER/api/auth/jwks is no place for keys: set AUTH_JWKS_URL, or {error}") from None


def _network(network: str) -> str:
    try:
        return str(ip_network(network))
    except ValueError:
        raise ValueError("write addresses or networks, 10.0.0.0/8 for example") from None


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the settings from the environment.

        Args:
            given: settings that are not to be read from there.

        Raises:
            SettingsError: with one line for each setting that is missing or wrong.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError("\n".join(_explain(fault) for fault in error.errors())) from None


# pydantic's type of error: what to write instead.
_SAID = {
    "too_short": "write one at least",
    "bool_parsing": "write on or off",
    "int_parsing": "write a whole number",
}


def _explain(fault: Any) -> str:
    said: str = _SAID.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    if not fault["loc"]:
        return said  # of several settings, which it names
    name = str(fault["loc"][0]).upper()
    if fault["type"] == "missing":
        return f"{name} is not set: see .env.example for what to write"
    return f"{name}: {said}"


_KEY_SOURCES = {"auth_jwks_url", "auth_jwks_file", "auth_shared_secret"}


def _names(settings: Iterable[str]) -> str:
    return ", ".join(setting.upper() for setting in settings)


class Settings(_Environment):
    """What `todo-api serve` needs."""

    database_url: DatabaseUrl
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 10

    auth_issuer: Annotated[str, AfterValidator(_as_tokens_have_it)]
    auth_audience: Annotated[str, AfterValidator(_as_tokens_have_it)]
    auth_jwks_url: Annotated[str, AfterValidator(_keys_url)] | None = None
    auth_jwks_refresh_seconds: Annotated[int, Field(ge=1, le=3600)] = 300
    auth_jwks_max_age_seconds: Annotated[int, Field(ge=1, le=7 * 24 * 3600)] = 24 * 3600
    auth_jwks_file: Path | None = None
    auth_shared_secret: Annotated[SecretStr, AfterValidator(_long_enough)] | None = None
    auth_algorithms: Annotated[
        tuple[Algorithm, ...], NoDecode, BeforeValidator(_comma_separated), Field(min_length=1)
    ] = ("EdDSA",)
    auth_max_lifetime_seconds: Annotated[int, Field(ge=1, le=7 * 24 * 3600)] = 24 * 3600

    cursor_key: Annotated[SecretStr, AfterValidator(_long_enough)]

    rate_limit: bool = True
    rate_limit_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    rate_limit_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    rate_limit_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    rate_limit_storage: Annotated[SecretStr, AfterValidator(_storage)] = SecretStr("memory")

    trusted_proxies: Annotated[
        tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode, BeforeValidator(_comma_separated)
    ] = ()

    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(exact_origin)], ...], NoDecode, BeforeValidator(_comma_separated)
    ] = ()

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> Self:
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        sources = sorted(_KEY_SOURCES & given)
        if len(sources) > 1:
            raise ValueError(f"{_names(sources)}: leave all but one out")
        if not sources:
            _issuers_keys_url(self.auth_issuer)
        if "auth_shared_secret" in given and "auth_algorithms" in given:
            raise ValueError("AUTH_SHARED_SECRET means HS256: leave AUTH_ALGORITHMS out")
        timed = sorted({"auth_jwks_refresh_seconds", "auth_jwks_max_age_seconds"} & given)
        if timed and sources not in ([], ["auth_jwks_url"]):
            raise ValueError(f"{_names(sources)} is not fetched: leave {_names(timed)} out")
        if self.auth_jwks_max_age_seconds < 2 * self.auth_jwks_refresh_seconds:
            raise ValueError("AUTH_JWKS_MAX_AGE_SECONDS: write twice AUTH_JWKS_REFRESH_SECONDS at least")
        return self

    @property
    def keys_url(self) -> str:
        """Where the keys are fetched from, unless there is a file or a secret."""
        return self.auth_jwks_url or _issuers_keys_url(self.auth_issuer)

    @model_validator(mode="after")
    def _nothing_about_a_limit_that_is_off(self) -> Self:
        told = sorted(name for name in self.model_fields_set if name.startswith("rate_limit_"))
        if told and not self.rate_limit:
            raise ValueError(f"RATE_LIMIT is off: leave {_names(told)} out")
        return self


class MigrationSettings(_Environment):
    """What `todo-api migrate` and `alembic` need. DATABASE_URL is read for the password to give to its role."""

    migration_database_url: DatabaseUrl
    database_url: DatabaseUrl | None = None
