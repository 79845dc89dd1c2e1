"""The servers that tests need: a Postgres (from a URL, Docker, or the embedded one), and the API itself."""

import asyncio
import gc
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import asyncpg
import pytest

from service.dev.issuer import ISSUER, Issuer
from service.dev.postgres import embedded


@contextmanager
def postgres_server() -> Iterator[tuple[str, str]]:
    """Give the kind of server and its superuser's URL.

    TEST_DATABASE=url, docker or embedded forces one; else the first of these that there is.
    """
    url = os.environ.get("TEST_DATABASE_URL")
    kind = os.environ.get("TEST_DATABASE") or ("url" if url else "docker" if _docker_answers() else "embedded")
    if kind == "url":
        if not url:
            raise pytest.UsageError("TEST_DATABASE=url: set TEST_DATABASE_URL to the URL of a superuser")
        yield kind, url
    elif kind == "docker":
        if not _docker_answers():
            raise pytest.UsageError("TEST_DATABASE=docker: no Docker answers; start one, or set DOCKER_HOST")
        with _container() as container_url:
            yield kind, container_url
    elif kind == "embedded":
        with tempfile.TemporaryDirectory() as folder, embedded(Path(folder) / "postgres") as embedded_url:
            asyncio.run(_forget_durability(embedded_url))
            yield kind, embedded_url
    else:
        raise pytest.UsageError(f"TEST_DATABASE={kind}: write embedded, docker or url")


async def _forget_durability(url: str) -> None:
    """This server does not outlive the tests: nothing need reach the disk."""
    connection = await asyncpg.connect(url)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        await connection.execute(f"ALTER SYSTEM SET {setting} = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


def _docker_answers() -> bool:
    import docker

    with warnings.catch_warnings():
        # docker-py forgets its socket when nobody answers.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            docker.from_env(timeout=3).close()
        except docker.errors.DockerException:
            return False
        finally:
            gc.collect()
    return True


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer("postgres:18", driver=None) as container:
        yield f"{container.get_connection_url()}?sslmode=disable"  # it is on this machine, at an address that is not


@contextmanager
def todo_api_server(
    database_url: str, issuer: Issuer | str, *, stderr: IO[str] | None = None, **settings: str
) -> Iterator[tuple[int, int]]:
    """Run `todo-api serve` and give its port and the id of its process. It may not end before it is told to.

    Args:
        issuer: whose tokens it trusts: that of development, with its file of keys, or the URL of a Better Auth.
    """
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "CURSOR_KEY": secrets.token_hex(32),
        **_trusting(issuer),
        **settings,
    }
    command = [str(Path(sys.executable).with_name("todo-api")), "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=stderr)
    try:
        deadline = time.monotonic() + 20
        while not listens(port):
            assert process.poll() is None, "the server did not start"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield port, process.pid
        assert process.poll() is None, "the server has ended"
    finally:
        process.terminate()
        process.wait(15)


def _trusting(issuer: Issuer | str) -> dict[str, str]:
    if isinstance(issuer, str):
        return {"AUTH_ISSUER": issuer, "AUTH_AUDIENCE": issuer}  # its keys are where the service looks by itself
    return {"AUTH_ISSUER": ISSUER, "AUTH_AUDIENCE": ISSUER, "AUTH_JWKS_FILE": str(issuer.jwks_file)}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
