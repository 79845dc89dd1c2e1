"""URLs as Neon and libpq write them, and what becomes of them."""

import ssl
from typing import Any

import pytest
from pydantic import SecretStr

from service.database.engine import _asyncpg_arguments
from service.settings import SettingsError


def arguments(url: str) -> tuple[Any, dict[str, Any]]:
    return _asyncpg_arguments(SecretStr(url), "DATABASE_URL")


def test_a_neon_url_works_as_it_is_copied() -> None:
    url, more = arguments(
        "postgresql://todo_api:pw@ep-x-pooler.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require"
    )
    assert url.drivername == "postgresql+asyncpg"
    assert (url.username, url.host, url.database, dict(url.query)) == (
        "todo_api",
        "ep-x-pooler.eu-central-1.aws.neon.tech",
        "neondb",
        {},
    )
    assert more["server_settings"] == {"application_name": "todo-api"}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a@db.example/x",
        "postgres://a@db.example/x?sslmode=require",
        "postgresql://a@db.example/x?sslmode=verify-full",
        "postgresql://a@db.example/x?sslmode=verify-full&sslrootcert=system",
        "postgresql://a@localhost/x?sslmode=verify-full",
    ],
)
def test_tls_is_verified(url: str) -> None:
    context = arguments(url)[1]["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a@localhost/x",
        "postgresql://a@127.0.0.1:5433/x",
        "postgresql://a@[::1]/x",
        "postgresql://a@/x?host=/var/run/postgresql",
        "postgresql://a@/x?host=%2Fvar%2Frun%2Fpostgresql",
        "postgresql://a@db.internal/x?sslmode=disable",
    ],
)
def test_tls_is_left_out_on_this_machine_or_when_the_url_says_so(url: str) -> None:
    assert arguments(url)[1]["ssl"] is False


@pytest.mark.parametrize("mode", ["prefer", "allow", "verify-ca", "yes"])
def test_a_mode_that_checks_too_little_is_refused(mode: str) -> None:
    with pytest.raises(SettingsError, match="sslmode=verify-full"):
        arguments(f"postgresql://a@db.example/x?sslmode={mode}")


def test_what_is_not_understood_is_refused() -> None:
    with pytest.raises(SettingsError, match="options, target_session_attrs"):
        arguments("postgresql://a@db.example/x?target_session_attrs=any&options=-c%20role%3Dpostgres")
