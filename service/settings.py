"""Every setting, in one place. Serving reads the environment only here."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Algorithm = Literal["EdDSA", "ES256", "ES512", "RS256", "PS256"]


class SettingsError(Exception):
    """A setting is missing or contradicts another. Its text is one line for each, fit to be shown."""


def _comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _exact_origin(origin: str) -> str:
    """An origin as RFC 6454 §6.2 writes it, which is what a browser sends: no path, no slash at the end."""
    parts = urlsplit(origin)
    plain = f"{parts.scheme}://{parts.netloc}".lower()
    usual_port = {"http": ":80", "https": ":443"}.get(parts.scheme)
    if usual_port is None or origin != plain or "*" in origin or origin.endswith(usual_port):
        raise ValueError(
            "write each origin as a browser sends it, https://app.example.com: in lower case, without the usual port, "
            "a path, a final slash or *"
        )
    return origin


def _database_url(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("write postgresql://ROLE:PASSWORD@HOST/DATABASE")
    return url


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    @classmethod
    def load(cls) -> Self:
        """Read the settings from the environment.

        Raises:
            SettingsError: with one line for each setting that is missing or wrong.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("\n".join(_explain(fault) for fault in error.errors())) from None


# pydantic's type of error: what to write instead.
_SAID = {
    "path_not_file": "there is no such file; a relative path starts at the folder that todo-api runs in",
    "too_short": "write one at least",
    "string_too_short": "it is empty",
    "int_parsing": "write a whole number",
}


def _explain(fault: Any) -> str:
    name = str(fault["loc"][0]).upper() if fault["loc"] else "settings"
    if fault["type"] == "missing":
        return f"{name} is not set: see .env.example for what to write"
    said = _SAID.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    return f"{name}: {said}"


class Settings(_Environment):
    """What `todo-api serve` needs."""

    database_url: DatabaseUrl
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 10

    auth_issuer: Annotated[str, Field(min_length=1)]
    auth_audience: Annotated[str, Field(min_length=1)]
    auth_jwks_file: FilePath
    auth_algorithms: Annotated[
        tuple[Algorithm, ...], NoDecode, BeforeValidator(_comma_separated), Field(min_length=1)
    ] = ("EdDSA",)

    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_exact_origin)], ...], NoDecode, BeforeValidator(_comma_separated)
    ] = ()


class MigrationSettings(_Environment):
    """What `todo-api migrate` and `alembic` need. DATABASE_URL is read for the password to give to its role."""

    migration_database_url: DatabaseUrl
    database_url: DatabaseUrl | None = None
