"""An audit connects by URLs as Neon gives them, and tells nobody the password."""

import socket
import ssl
from typing import Any
from unittest.mock import AsyncMock

import asyncpg
import pytest

from audit.connection import cannot_look, connect, libpq_environment
from audit.finding import CannotLook
from tests.conftest import Database, in_database

NEON = "neondb_owner:hunter2@ep-x-pooler.eu-central-1.aws.neon.tech/neondb"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> AsyncMock:
    """What asyncpg is asked for, which is not done."""
    mock = AsyncMock()
    monkeypatch.setattr(asyncpg, "connect", mock)
    return mock


def options(asked: AsyncMock) -> Any:
    return asked.call_args.kwargs


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
async def test_a_url_of_neon_works_as_it_is_copied(asked: AsyncMock, scheme: str) -> None:
    await connect(f"{scheme}://{NEON}?sslmode=require&channel_binding=require")
    assert asked.call_args.args == (f"postgresql://{NEON}?",)
    assert options(asked)["ssl"].verify_mode is ssl.CERT_REQUIRED
    assert options(asked)["ssl"].check_hostname


async def test_a_pooler_in_transaction_mode_is_asked_for_no_statement_again(asked: AsyncMock) -> None:
    await connect(f"postgresql://{NEON}")
    assert options(asked)["statement_cache_size"] == 0


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("postgresql://u@db.test/x?sslmode=disable", False),
        ("postgresql://u@localhost/x", False),
        ("postgresql://u@127.0.0.1/x?sslmode=require", "require"),
        ("postgresql://u@/x?host=/run/postgresql", False),
        ("postgresql://u@/x?host=/run/postgresql&sslmode=require", False),
        ("postgresql://u@%2Frun%2Fpostgresql/x", False),
        ("postgresql:///x", False),
    ],
)
async def test_only_who_says_so_or_is_on_this_machine_goes_unverified(asked: AsyncMock, url: str, tls: object) -> None:
    await connect(url)
    assert options(asked)["ssl"] == tls


@pytest.mark.parametrize("url", ["postgresql://u@db.test/x", "postgresql://u@localhost/x?sslmode=verify-full"])
async def test_everything_else_is_verified(asked: AsyncMock, url: str) -> None:
    await connect(url)
    assert options(asked)["ssl"].verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:hunter2@db.test/x?sslmode=prefer", "sslmode=prefer checks too little"),
        ("postgresql://u:hunter2@db.test/x?sslrootcert=/nowhere.pem", "/nowhere.pem cannot be read"),
        ("postgresql://u:hunter2@127.0.0.1:1/x", "ConnectionRefusedError"),
        ("postgresql://u:hunter2@[::1/x", "percent-encoded"),
        ("postgresql://u:hunter2#@db.test/x", "percent-encoded"),
        ("postgresql://u:/hunter2@db.test/x", "No such file|cannot be looked at|percent-encoded"),
        ("postgresql://u:hunter2/@db.test/x", "percent-encoded"),
        ("mysql://u:hunter2@db.test/x", "write the URL as postgresql://"),
        ("", "write the URL as postgresql://"),
    ],
)
async def test_what_cannot_be_reached_is_said_in_a_line_without_the_password(url: str, said: str) -> None:
    with pytest.raises(CannotLook, match=said) as refused:
        await connect(url)
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_password_is_taken_out_of_an_error_however_it_was_written() -> None:
    error = cannot_look(OSError("p@ss and p%40ss\nand key"), "postgresql://u:p%40ss@h/x?password=key")
    assert str(error) == "the database cannot be looked at: OSError: *** and *** and ***"


async def test_a_password_that_the_server_refuses_is_not_quoted(audited: Database) -> None:
    with pytest.raises(CannotLook, match="cannot be looked at") as refused:
        await connect(in_database(audited.superuser_url, audited.name, username="nobody", password="hunter2"))
    assert "hunter2" not in str(refused.value)


async def test_a_server_that_does_not_answer_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.connection._CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(CannotLook, match=r"not answer within 0\.1 s"):
        await connect(f"postgresql://u:hunter2@127.0.0.1:{silent.getsockname()[1]}/x")


async def test_a_connection_can_be_asked(audited: Database) -> None:
    connection = await connect(audited.superuser_url)
    assert await connection.fetchval("SELECT $1::int", 1) == 1
    await connection.close()


@pytest.mark.parametrize("sslmode", ["", "?sslmode=require", "?sslmode=require&channel_binding=require"])
def test_another_program_verifies_the_certificate_too(sslmode: str) -> None:
    environment = libpq_environment(f"postgres://{NEON}{sslmode}")
    assert environment["DATABASE_URL"] == f"postgresql://{NEON}?sslmode=verify-full&sslrootcert=system"


def test_another_program_reaches_a_server_of_this_machine() -> None:
    assert libpq_environment("postgresql:///x?host=/run/postgresql") == {
        "DATABASE_URL": "postgresql:///x?host=%2Frun%2Fpostgresql"
    }
    assert libpq_environment("postgresql://u@localhost/x?sslmode=disable") == {
        "DATABASE_URL": "postgresql://u@localhost/x?sslmode=disable"
    }
